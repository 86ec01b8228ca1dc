#!/usr/bin/env python3
"""Labels for kernel CVEs: which have code in a kernel that was built with a known configuration.

    quality/kernel/derive.py ADVISORIES_FOLDER KERNEL_SOURCE OBJECTS IMAGE > NAME.tsv

OBJECTS is what objects.sh prints, or the list of objects of a real build (`find . -name '*.o'`). No code of Proofmark is
used. A CVE is *compiled* where one of the source files that its CVE record names was compiled, *absent* where all of them
are in this source tree and none was. Records with a file that this tree does not have are left out: it may be there under
another name. Headers and files that other sources include label nothing.
"""
import gzip
import json
import pathlib
import re
import sys

data, source, objects, image = pathlib.Path(sys.argv[1]), pathlib.Path(sys.argv[2]), sys.argv[3], sys.argv[4]
compiled = set()
for line in open(objects, encoding='utf-8').read().split():
    line = line.removeprefix('./')
    if line.endswith('.o'):
        compiled.update(line[:-2] + end for end in ('.c', '.S'))
    else:
        compiled.add(line)
included = set()
for path in source.rglob('*.[chS]'):
    for target in re.findall(r'^#\s*include\s+[<"]([^">]+\.c)[">]', path.read_text(encoding='utf-8', errors='replace'), re.M):
        included.add(str((path.parent / target).resolve().relative_to(source.resolve())) if (path.parent / target).exists() else target)
print(f'# {image}')
for line in gzip.open(data / 'cve5-linux-kernel.jsonl.gz', 'rt', encoding='utf-8').read().split('\n'):
    if not line:
        continue
    record = json.loads(line)
    if record['cveMetadata']['state'] != 'PUBLISHED' or record['cveMetadata'].get('assignerShortName') != 'Linux':
        continue
    files = {f for a in record['containers']['cna'].get('affected', []) for f in a.get('programFiles', [])}
    files = {f for f in files if re.search(r'\.[cS]$', f) and not re.match(r'(tools|Documentation|scripts|samples|usr)/', f)}
    if not files:
        continue
    if files & compiled:
        print(record['cveMetadata']['cveId'], 'compiled', sep='\t')
    elif all((source / f).is_file() for f in files) and not files & included:
        print(record['cveMetadata']['cveId'], 'absent', sep='\t')
