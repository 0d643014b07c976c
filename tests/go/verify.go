// Reads a served log and its proofs with Go's own implementation (golang.org/x/mod/sumdb), and says what held. It trusts only the key.
package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// Task is what the test hands over: where the log is, its key, signed notes, and which proofs to fetch.
type Task struct {
	Log         string
	Key         string
	Token       string
	Checkpoints []string
	Inclusion   [][2]int64
	Consistency [][2]int64
	Entries     []string
}

type proof struct {
	Leaf   string
	Hashes []string
}

// tiles reads our tiles for tlog, whose paths carry the height: tile/8/L/N there is tile/L/N here.
type tiles struct{ task Task }

func (t tiles) Height() int { return 8 }

func (t tiles) ReadTiles(wanted []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range wanted {
		found = append(found, t.task.get("/"+strings.Replace(tile.Path(), "tile/8/", "tile/", 1)))
	}
	return found, nil
}

func (t tiles) SaveTiles([]tlog.Tile, [][]byte) {}

func (task Task) get(path string) []byte {
	request, err := http.NewRequest("GET", task.Log+path, nil)
	must(err)
	if strings.HasPrefix(path, "/tile/entries/") {
		request.Header.Set("Authorization", "Bearer "+task.Token)
	}
	answer, err := http.DefaultClient.Do(request)
	must(err)
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	must(err)
	if answer.StatusCode != 200 {
		must(fmt.Errorf("%s answered %d", path, answer.StatusCode))
	}
	return body
}

func (task Task) open(verifiers note.Verifiers, text string) tlog.Tree {
	opened, err := note.Open([]byte(text), verifiers)
	must(err)
	lines := strings.Split(opened.Text, "\n")
	size, err := strconv.ParseInt(lines[1], 10, 64)
	must(err)
	return tlog.Tree{N: size, Hash: hash(lines[2])}
}

func (task Task) fetch(path string) (tlog.Hash, []tlog.Hash) {
	var got proof
	must(json.Unmarshal(task.get(path), &got))
	var hashes []tlog.Hash
	for _, text := range got.Hashes {
		hashes = append(hashes, hash(text))
	}
	if got.Leaf == "" {
		return tlog.Hash{}, hashes
	}
	return hash(got.Leaf), hashes
}

func hash(text string) tlog.Hash {
	data, err := base64.StdEncoding.DecodeString(text)
	must(err)
	var found tlog.Hash
	if copy(found[:], data) != tlog.HashSize || len(data) != tlog.HashSize {
		must(fmt.Errorf("a hash of %d bytes", len(data)))
	}
	return found
}

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func main() {
	var task Task
	must(json.NewDecoder(os.Stdin).Decode(&task))
	verifier, err := note.NewVerifier(task.Key)
	must(err)
	trees := map[int64]tlog.Tree{}
	largest := int64(0)
	for _, text := range task.Checkpoints {
		tree := task.open(note.VerifierList(verifier), text)
		trees[tree.N] = tree
		if tree.N > largest {
			largest = tree.N
		}
	}
	newest := trees[largest]
	reader := tlog.TileHashReader(newest, tiles{task})
	read := 0
	for _, pair := range task.Inclusion {
		index, size := pair[0], pair[1]
		leaf, hashes := task.fetch(fmt.Sprintf("/proof/inclusion?index=%d&size=%d", index, size))
		must(tlog.CheckRecord(hashes, size, trees[size].Hash, index, leaf))
		own, err := tlog.ProveRecord(newest.N, index, reader)
		must(err)
		must(tlog.CheckRecord(own, newest.N, newest.Hash, index, leaf))
		read++
	}
	for _, pair := range task.Consistency {
		_, hashes := task.fetch(fmt.Sprintf("/proof/consistency?from=%d&to=%d", pair[0], pair[1]))
		must(tlog.CheckTree(hashes, pair[1], trees[pair[1]].Hash, pair[0], trees[pair[0]].Hash))
		own, err := tlog.TreeHash(pair[0], reader)
		must(err)
		if own != trees[pair[0]].Hash {
			must(fmt.Errorf("the tiles hash to another root at %d", pair[0]))
		}
	}
	entries := 0
	for _, path := range task.Entries {
		bundle := task.get("/tile/entries/" + path)
		leaves := task.get("/tile/0/" + path)
		for at := 0; len(bundle) > 0; at += tlog.HashSize {
			length := 2 + int(bundle[0])<<8 + int(bundle[1])
			leaf := tlog.RecordHash(bundle[2:length])
			if !bytes.Equal(leaf[:], leaves[at:at+tlog.HashSize]) {
				must(fmt.Errorf("an entry of bundle %s is not the one of its tile", path))
			}
			bundle = bundle[length:]
			entries++
		}
	}
	if wrong := newest.N; tlog.CheckTree(nil, wrong+1, newest.Hash, wrong, newest.Hash) == nil {
		must(fmt.Errorf("a changed size was accepted"))
	}
	fmt.Printf("%d checkpoints, %d inclusion, %d consistency, %d records by tiles, %d entries\n",
		len(task.Checkpoints), len(task.Inclusion), len(task.Consistency), read, entries)
}
