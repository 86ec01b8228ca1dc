#!/bin/sh
# check.sh FINDINGS-CSV: the report on the sample gateway shows exactly what was planted.
# Compares requirement and path of every finding that fails a requirement with planted.tsv, both ways.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
seen=$(mktemp)
planted=$(mktemp)
trap 'rm -f "$seen" "$planted"' EXIT
sed '1d' "$here/planted.tsv" | cut -f 1,2 | sort -u >"$planted"
awk -F, 'NR > 1 && $0 ~ /fail/ { gsub(/"/, ""); print }' "$1" >"$seen"
if diff -u "$planted" "$seen" >&2; then
	echo "the report on the sample gateway shows exactly the planted weaknesses" >&2
else
	echo "check.sh: the report and samples/gateway/planted.tsv differ, see above" >&2
	exit 1
fi
