"""From a CSV file of whatever encoding, dialect and layout to the plain one that everything behind reads."""
