#!/bin/sh
# check.sh FINDINGS-CSV: the report on the sample gateway shows exactly what was planted.
# Compares requirement and path of everything that makes a requirement fail with planted.tsv, both ways.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
sed 1d "$here/planted.tsv" | cut -f 1,2 | LC_ALL=C sort -u >"$work/planted"
# The requirement is column 1, the verdict column 5, the locator the first field with `@0x`.
sed 1d "$1" | grep -E '^[^,]*,[^,]*,("[^"]*"|[^,]*),[^,]*,fail,' | awk -F, -v start='gateway.img@0x40000:squashfs' '{
	at = index($0, start)
	rest = substr($0, at + length(start))
	end = match(rest, /[,+"]/)
	print $1 "\t" (end ? substr(rest, 1, end - 1) : rest)
}' | LC_ALL=C sort -u >"$work/seen"
if diff "$work/planted" "$work/seen" >&2; then
	echo "The report on the sample gateway shows exactly the planted weaknesses ($(wc -l <"$work/planted"))." >&2
else
	echo "check.sh: the report (>) and samples/gateway/planted.tsv (<) differ" >&2
	exit 1
fi
