#!/usr/bin/env bash
# Checks tests/fault-matrix.md against the Rust sources.
#
#   tests/fault-matrix.sh          Compare: every tested row is cited by a test in the files that the row names, every cited
#                                  row and every requirement id in a comment exists. Prints the differences; exits with 1.
#   tests/fault-matrix.sh --write  Write the current test files into the table. Run it after a test file is renamed.
#
# A test cites a row in a doc line (/// Fault matrix row 9. or: rows 29 to 32, rows 9 and 20) or in its name (row_9_…).
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1

readonly matrix=tests/fault-matrix.md

# Prints one line per citation, with its file: "row 9 FILE" for a test, "id B9 FILE" for a requirement in a comment.
citations() {
  find client daemon tests -name '*.rs' | LC_ALL=C sort | xargs awk '
    function cite(text, several,    words, count, i, row) {
      count = split(text, words, /[^a-z0-9]+/)
      row = words[1] + 0
      print "row", row, FILENAME
      for (i = 2; several && i <= count; i++) {
        if (words[i] == "and") continue
        if (words[i] == "to") { last = words[++i] + 0; while (row < last) print "row", ++row, FILENAME; continue }
        if (words[i] !~ /^[0-9]+$/) break
        row = words[i] + 0
        print "row", row, FILENAME
      }
    }
    # A doc line.
    match($0, /^ *\/\/[\/!] Fault matrix rows? [0-9]/) { cite(substr($0, RLENGTH), $0 ~ /matrix rows/) }
    # A name.
    match($0, /fn rows?_[0-9]/) { cite(substr($0, RSTART + RLENGTH - 1), $0 ~ /fn rows_/) }
    # Requirement ids. C1 to C5 are left out: the comments of text.rs name the control characters C0 and C1.
    match($0, /(^|[ \t])\/\//) {
      comment = substr($0, RSTART + RLENGTH)
      while (match(comment, /(^|[^A-Za-z0-9_])[SPLVMFEKB][0-9][0-9]?([^A-Za-z0-9_]|$)/)) {
        id = substr(comment, RSTART, RLENGTH)
        gsub(/[^A-Z0-9]/, "", id)
        print "id", id, FILENAME
        comment = substr(comment, RSTART + RLENGTH - 1)
      }
    }' | LC_ALL=C sort -u
}

# Prints the matrix with the test files that cite each tested row. What does not fit goes to standard error.
render() {
  awk '
    function wrong(text) { print "tests/fault-matrix.md: " text > "/dev/stderr"; failed = 1 }
    function trim(text) { gsub(/^ +| +$/, "", text); return text }
    FNR == NR {
      key = $1 " " $2
      files[key] = files[key] (files[key] == "" ? "" : ", ") "`" $3 "`"
      next
    }
    /^\| *[0-9]+ *\|/ {
      split($0, cell, "|")
      row = trim(cell[2]); status = trim(cell[5]); key = "row " row
      known[key]; count[status]++
      if (status == "tested" || status == "partly") {
        if (!(key in files)) wrong("row " row " is marked as " status ", and no test cites it")
        $0 = "|" cell[2] "|" cell[3] "|" cell[4] "|" cell[5] "| " files[key] " |"
      } else if (key in files) {
        wrong("row " row " is marked as " status ", and is cited in " files[key])
      }
    }
    /^\| *[A-Z][0-9]+ *\|/ { split($0, cell, "|"); known["id " trim(cell[2])] }
    { print }
    END {
      for (key in files) if (!(key in known)) wrong("there is no " key ", which is cited in " files[key])
      for (status in count) { total += count[status]; summary = summary ", " count[status] " " status }
      print total " rows" summary > "/dev/stderr"
      exit failed
    }' <(citations) "$matrix"
}

rendered=$(mktemp) || exit 1
trap 'rm -f "$rendered"' EXIT
status=0
render >"$rendered" || status=1
if [ "${1:-}" = --write ]; then
  cat "$rendered" >"$matrix"
elif ! diff -u "$matrix" "$rendered"; then
  echo "$matrix names other test files than those that cite its rows; write them with: tests/fault-matrix.sh --write" >&2
  status=1
fi
exit $status
