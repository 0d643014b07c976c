"""Owns the cases of CSV in which other tools guess: codes, long numbers, dates, nulls, money. Each row of the survey in issue 4 is here."""

from __future__ import annotations

from torture.case import Case

MANY = 30_000

CASES: dict[str, Case] = {
    # Codes with zeros.
    "zip and county codes at the top": Case(
        b"zip,fips\n02116,01001\n10001,36061\n",
        types={"zip": "text", "fips": "text"},
        rows=("02116|01001", "10001|36061"),
        counts=(2, 2, 0),
        seen="zip.leading_zeros=1 fips.leading_zeros=1 zip.integers=1 zip.longest_digits=5",
    ),
    "the first leading zero at row 30,001": Case(
        b"zip,n\n" + b"10001,1\n" * MANY + b"00501,2\n",
        types={"zip": "text", "n": "integer"},
        rows=("10001|1",) * MANY + ("00501|2",),
        counts=(30_001, 30_001, 0),
        seen="zip.leading_zeros=1 zip.integers=30000 zip.distinct=2",
    ),
    "an account of 20 digits with zeros": Case(
        b"account\n00012345678901234567\n",
        types={"account": "text"},
        rows=("00012345678901234567",),
        counts=(1, 1, 0),
        seen="account.leading_zeros=1 account.longest_digits=20",
    ),
    "quoted codes": Case(
        b'zip,n\n"02116",1\n"01001",2\n', types={"zip": "text", "n": "integer"}, rows=("02116|1", "01001|2"), counts=(2, 2, 0)
    ),
    "a lone zero is a number": Case(b"n\n0\n10\n", types={"n": "integer"}, rows=("0", "10"), counts=(2, 2, 0), seen="n.leading_zeros=0"),
    "two zeros are a code": Case(b"n\n00\n10\n", types={"n": "text"}, rows=("00", "10"), counts=(2, 2, 0)),
    "a minus before a zero": Case(b"n\n-007\n-1\n", types={"n": "text"}, rows=("-007", "-1"), counts=(2, 2, 0), seen="n.leading_zeros=1"),
    "minus zero": Case(b"n\n-0\n1\n", types={"n": "text"}, rows=("-0", "1"), counts=(2, 2, 0)),
    "a zero before a decimal's digits": Case(b"n\n00.5\n1.5\n", types={"n": "text"}, rows=("00.5", "1.5"), counts=(2, 2, 0)),
    "social security numbers": Case(
        b"ssn\n012-34-5678\n123-45-6789\n", types={"ssn": "text"}, rows=("012-34-5678", "123-45-6789"), counts=(2, 2, 0)
    ),
    "zip and four": Case(b"zip\n02116-1234\n10001-0001\n", types={"zip": "text"}, rows=("02116-1234", "10001-0001"), counts=(2, 2, 0)),
    "phones with a plus": Case(
        b"phone\n+12025550123\n+12025550124\n", types={"phone": "text"}, rows=("+12025550123", "+12025550124"), counts=(2, 2, 0)
    ),
    "a plus before a number": Case(b"n\n+5\n5\n", types={"n": "text"}, rows=("+5", "5"), counts=(2, 2, 0)),
    "codes that look like exponents": Case(
        b"code\n1E5\n2E3\n12D4\n", types={"code": "text"}, rows=("1E5", "2E3", "12D4"), counts=(3, 3, 0)
    ),
    "exponents alone": Case(b"code\n1E5\n2E3\n", types={"code": "text"}, rows=("1E5", "2E3"), counts=(2, 2, 0)),
    "exponents with a point": Case(b"n\n1.5e3\n2.5e-3\n", types={"n": "text"}, rows=("1.5e3", "2.5e-3"), counts=(2, 2, 0)),
    "hexadecimal and binary": Case(b"n\n0x10\n0b11\n", types={"n": "text"}, rows=("0x10", "0b11"), counts=(2, 2, 0)),
    "underscores in digits": Case(b"n\n1_000\n2\n", types={"n": "text"}, rows=("1_000", "2"), counts=(2, 2, 0)),
    "digits of another script": Case("n\n٣\n٤\n".encode(), types={"n": "text"}, rows=("٣", "٤"), counts=(2, 2, 0)),
    # Big numbers.
    "fifteen digits are a number": Case(
        b"id\n999999999999999\n1\n", types={"id": "integer"}, rows=("999999999999999", "1"), counts=(2, 2, 0)
    ),
    "sixteen digits are a code": Case(b"id\n1000000000000000\n1\n", types={"id": "text"}, rows=("1000000000000000", "1"), counts=(2, 2, 0)),
    "above two to the 53rd": Case(b"id\n9007199254740993\n", types={"id": "text"}, rows=("9007199254740993",), counts=(1, 1, 0)),
    "above two to the 63rd": Case(b"id\n9223372036854775808\n", types={"id": "text"}, rows=("9223372036854775808",), counts=(1, 1, 0)),
    "above two to the 53rd, declared": Case(
        b"id\n9007199254740993\n", declared={"id": "integer"}, rows=("9007199254740993",), counts=(1, 1, 0)
    ),
    "the ends of 64 bits, declared": Case(
        b"id\n9223372036854775807\n-9223372036854775808\n9223372036854775808\n-9223372036854775809\n",
        declared={"id": "integer"},
        rows=("9223372036854775807", "-9223372036854775808"),
        counts=(4, 2, 2),
        rejects=((3, "id", "not_integer"), (4, "id", "not_integer")),
    ),
    "sixteen digits around a point": Case(b"n\n12345678901234.56\n", types={"n": "text"}, rows=("12345678901234.56",), counts=(1, 1, 0)),
    "38 digits, declared": Case(
        b"n\n99999999999999999999999999999999999999\n100000000000000000000000000000000000000\n",
        declared={"n": "decimal(38,0)"},
        rows=("99999999999999999999999999999999999999",),
        counts=(2, 1, 1),
        rejects=((2, "n", "not_decimal"),),
    ),
    # Decimals.
    "prices": Case(
        b"p\n1.50\n10\n0.5\n",
        types={"p": "decimal(18,2)"},
        rows=("1.50", "10.00", "0.50"),
        counts=(3, 3, 0),
        seen="p.integers=1 p.decimals=2",
    ),
    "tenths are not floats": Case(b"p\n0.1\n0.2\n0.3\n", types={"p": "decimal(18,1)"}, rows=("0.1", "0.2", "0.3"), counts=(3, 3, 0)),
    "a point without digits": Case(b"p\n5.\n.5\n", types={"p": "text"}, rows=("5.", ".5"), counts=(2, 2, 0)),
    "minus one half": Case(b"p\n-0.5\n-1\n", types={"p": "decimal(18,1)"}, rows=("-0.5", "-1.0"), counts=(2, 2, 0)),
    "more decimals than declared are not rounded": Case(
        b"p\n1.25\n1.255\n", declared={"p": "decimal(18,2)"}, rows=("1.25",), counts=(2, 1, 1), rejects=((2, "p", "not_decimal"),)
    ),
    "more digits than declared": Case(
        b"p\n999.99\n1000.00\n", declared={"p": "decimal(5,2)"}, rows=("999.99",), counts=(2, 1, 1), rejects=((2, "p", "not_decimal"),)
    ),
    "a fraction is no integer": Case(
        b"n\n5\n5.0\n5.7\n",
        declared={"n": "integer"},
        rows=("5",),
        counts=(3, 1, 2),
        rejects=((2, "n", "not_integer"), (3, "n", "not_integer")),
    ),
    "a zip declared as a number is refused, not stripped": Case(
        b"zip\n10001\n02116\n", declared={"zip": "integer"}, rows=("10001",), counts=(2, 1, 1), rejects=((2, "zip", "not_integer"),)
    ),
    "doubles, declared": Case(
        b"x\n1.5e3\n0.1\n1e400\nNaN\ninf\n",
        declared={"x": "double"},
        rows=("1500.0", "0.1"),
        counts=(5, 2, 3),
        rejects=((3, "x", "not_double"), (4, "x", "not_double"), (5, "x", "not_double")),
    ),
    # Money, shares, brackets.
    "dollars": Case(b"p\n$5.00\n$6.00\n", types={"p": "text"}, rows=("$5.00", "$6.00"), counts=(2, 2, 0)),
    "per cent": Case(b"p\n12%\n13%\n", types={"p": "text"}, rows=("12%", "13%"), counts=(2, 2, 0)),
    "brackets for a minus": Case(b"p\n(300)\n200\n", types={"p": "text"}, rows=("(300)", "200"), counts=(2, 2, 0)),
    "thousands in quotes": Case(
        b'p,n\n"1,234",1\n"2,345",2\n', types={"p": "text", "n": "integer"}, rows=("1,234|1", "2,345|2"), counts=(2, 2, 0)
    ),
    "dollars, declared as a decimal": Case(
        b"p\n5.00\n$5.00\n12%\n(300)\n",
        declared={"p": "decimal(18,2)"},
        rows=("5.00",),
        counts=(4, 1, 3),
        rejects=((2, "p", "not_decimal"), (3, "p", "not_decimal"), (4, "p", "not_decimal")),
    ),
    "semicolons with decimal commas": Case(
        b"id;sum\n1;1,50\n2;2,30\n",
        types={"id": "integer", "sum": "text"},
        rows=("1|1,50", "2|2,30"),
        counts=(2, 2, 0),
        found="delimiter=semicolon",
    ),
    "thousands with points": Case(b"p\n1.234.567\n2.345.678\n", types={"p": "text"}, rows=("1.234.567", "2.345.678"), counts=(2, 2, 0)),
    # Booleans.
    "one row of 1 is no boolean": Case(
        b"id\n1\n", types={"id": "integer"}, rows=("1",), counts=(1, 1, 0), seen="id.booleans=0 id.integers=1"
    ),
    "ones and zeros are no booleans": Case(b"x\n1\n0\n", types={"x": "integer"}, rows=("1", "0"), counts=(2, 2, 0)),
    "true and false": Case(
        b"x\ntrue\nFALSE\nTrue\n", types={"x": "boolean"}, rows=("true", "false", "true"), counts=(3, 3, 0), seen="x.booleans=3"
    ),
    "yes and no are texts": Case(b"x\nyes\nno\n", types={"x": "text"}, rows=("yes", "no"), counts=(2, 2, 0)),
    "t and f are texts": Case(b"x\nt\nf\n", types={"x": "text"}, rows=("t", "f"), counts=(2, 2, 0)),
    "what is no boolean, declared": Case(
        b"x\ntrue\n1\nyes\ntRUE\n",
        declared={"x": "boolean"},
        rows=("true",),
        counts=(4, 1, 3),
        rejects=((2, "x", "not_boolean"), (3, "x", "not_boolean"), (4, "x", "not_boolean")),
    ),
    # Dates and times.
    "days and months in either order": Case(
        b"d\n01/02/2024\n03/04/2024\n", types={"d": "text"}, rows=("01/02/2024", "03/04/2024"), counts=(2, 2, 0)
    ),
    "both orders in one column": Case(
        b"d\n12/25/2024\n25/12/2024\n", types={"d": "text"}, rows=("12/25/2024", "25/12/2024"), counts=(2, 2, 0)
    ),
    "days proven to come second are still not guessed": Case(
        b"d\n12/25/2024\n12/26/2024\n", types={"d": "text"}, rows=("12/25/2024", "12/26/2024"), counts=(2, 2, 0)
    ),
    "slashes, declared as dates": Case(
        b"d\n2024-02-01\n01/02/2024\n", declared={"d": "date"}, rows=("2024-02-01",), counts=(2, 1, 1), rejects=((2, "d", "not_date"),)
    ),
    "ISO dates": Case(
        b"d\n2024-02-29\n1999-12-31\n", types={"d": "date"}, rows=("2024-02-29", "1999-12-31"), counts=(2, 2, 0), seen="d.dates=2"
    ),
    "a day that is not": Case(b"d\n2024-02-29\n2023-02-29\n", types={"d": "text"}, rows=("2024-02-29", "2023-02-29"), counts=(2, 2, 0)),
    "a day that is not, declared": Case(
        b"d\n2024-02-29\n2023-02-29\n2024-1-1\n0000-01-01\n",
        declared={"d": "date"},
        rows=("2024-02-29",),
        counts=(4, 1, 3),
        rejects=((2, "d", "not_date"), (3, "d", "not_date"), (4, "d", "not_date")),
    ),
    "years alone are numbers": Case(b"y\n2023\n2024\n", types={"y": "integer"}, rows=("2023", "2024"), counts=(2, 2, 0)),
    "days without hyphens are numbers": Case(
        b"d\n20240131\n20240201\n", types={"d": "integer"}, rows=("20240131", "20240201"), counts=(2, 2, 0)
    ),
    "months in words": Case(b"d\n1-Mar\n2-Sep\n", types={"d": "text"}, rows=("1-Mar", "2-Sep"), counts=(2, 2, 0)),
    "gene names that look like dates": Case(b"gene\nMARCH1\nSEPT2\n", types={"gene": "text"}, rows=("MARCH1", "SEPT2"), counts=(2, 2, 0)),
    "words that some take for dates": Case(b"d\ninfinity\nepoch\n", types={"d": "text"}, rows=("infinity", "epoch"), counts=(2, 2, 0)),
    "times with and without a zone": Case(
        b"t\n2024-01-01T10:00:00Z\n2024-01-01T10:00:00\n",
        types={"t": "text"},
        rows=("2024-01-01T10:00:00Z", "2024-01-01T10:00:00"),
        counts=(2, 2, 0),
        seen="t.timestamps=1 t.datetimes=1",
    ),
    "times with zones are one moment": Case(
        b"t\n2024-01-01T10:00:00Z\n2024-01-01T05:00:00-05:00\n",
        types={"t": "timestamp"},
        rows=("2024-01-01 10:00:00+00", "2024-01-01 10:00:00+00"),
        counts=(2, 2, 0),
    ),
    "times without a zone stay where they are": Case(
        b"t\n2024-01-01 10:00\n2024-01-01T10:00:00.5\n",
        types={"t": "datetime"},
        rows=("2024-01-01 10:00:00", "2024-01-01 10:00:00.5"),
        counts=(2, 2, 0),
    ),
    "a local time, declared as a moment": Case(
        b"t\n2024-01-01T10:00:00Z\n2024-01-01T10:00:00\n2024-01-01T10:00:00.1234567Z\n",
        declared={"t": "timestamp"},
        rows=("2024-01-01 10:00:00+00",),
        counts=(3, 1, 2),
        rejects=((2, "t", "not_timestamp"), (3, "t", "not_timestamp")),
    ),
    "a moment, declared as a local time": Case(
        b"t\n2024-01-01T10:00:00\n2024-01-01T10:00:00Z\n2024-01-01T24:00:00\n",
        declared={"t": "datetime"},
        rows=("2024-01-01 10:00:00",),
        counts=(3, 1, 2),
        rejects=((2, "t", "not_datetime"), (3, "t", "not_datetime")),
    ),
    # Nulls.
    "an integer column with one blank": Case(
        b"n,m\n1,1\n,2\n3,3\n", types={"n": "integer", "m": "integer"}, rows=("1|1", "∅|2", "3|3"), counts=(3, 3, 0), seen="n.nulls=1"
    ),
    "words for null are texts until somebody says so": Case(
        b"name\nNA\nN/A\nNULL\nNone\nnull\nnan\n",
        types={"name": "text"},
        rows=("NA", "N/A", "NULL", "None", "null", "nan"),
        counts=(6, 6, 0),
        seen="name.nulls=0 name.cells=6",
    ),
    "all NA is no empty column": Case(b"code\nNA\nNA\n", types={"code": "text"}, rows=("NA", "NA"), counts=(2, 2, 0)),
    "NA where the upload says that it means null": Case(
        b"n\n1\nNA\n3\n", null_words=("", "NA"), types={"n": "integer"}, rows=("1", "∅", "3"), counts=(3, 3, 0), seen="n.nulls=1"
    ),
    "a null word counts only as it is written": Case(
        b"n\n1\nna\n", null_words=("", "NA"), types={"n": "text"}, rows=("1", "na"), counts=(2, 2, 0)
    ),
    "N/A and <5 at row 30,001": Case(
        b"n\n" + b"7\n" * MANY + b"N/A\n<5\n",
        declared={"n": "integer"},
        rows=("7",) * MANY,
        counts=(30_002, 30_000, 2),
        rejects=((30_001, "n", "not_integer"), (30_002, "n", "not_integer")),
    ),
    "N/A and <5 at row 30,001, undeclared": Case(
        b"n\n" + b"7\n" * MANY + b"N/A\n<5\n",
        types={"n": "text"},
        rows=("7",) * MANY + ("N/A", "<5"),
        counts=(30_002, 30_002, 0),
        seen="n.integers=30000",
    ),
    "a column of nothing": Case(
        b"a,b\n1,\n2,\n", types={"a": "integer", "b": "text"}, rows=("1|∅", "2|∅"), counts=(2, 2, 0), seen="b.cells=0 b.nulls=2"
    ),
    "a space is not empty": Case(
        b"a,b\n1, \n2,x\n", types={"a": "integer", "b": "text"}, rows=("1| ", "2|x"), counts=(2, 2, 0), seen="b.nulls=0"
    ),
    "no word is null where the schema says so": Case(
        b"a,b\n1,\n2,x\n", declared={"a": "integer", "b": "text"}, null_words=(), rows=("1|", "2|x"), counts=(2, 2, 0)
    ),
    # Spaces and unseen characters are never trimmed.
    "spaces around a number": Case(b"n,m\n 5,1\n5 ,2\n", types={"n": "text", "m": "integer"}, rows=(" 5|1", "5 |2"), counts=(2, 2, 0)),
    "spaces around a number, declared": Case(
        b"n,m\n5,1\n 5,2\n", declared={"n": "integer", "m": "integer"}, rows=("5|1",), counts=(2, 1, 1), rejects=((2, "n", "not_integer"),)
    ),
    "a space that does not break": Case("n\n1\u00a0000\n2\n".encode(), types={"n": "text"}, rows=("1\u00a0000", "2"), counts=(2, 2, 0)),
    "composed and decomposed stay two": Case(
        "n\n\u00e9\ne\u0301\n".encode(), types={"n": "text"}, rows=("\u00e9", "e\u0301"), counts=(2, 2, 0), seen="n.distinct=2"
    ),
    "formulas stay as they are": Case(b"n\n=1+1\n@x\n-x\n", types={"n": "text"}, rows=("=1+1", "@x", "-x"), counts=(3, 3, 0)),
}
