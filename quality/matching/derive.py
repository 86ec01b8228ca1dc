#!/usr/bin/env python3
"""Labels for CVE matching, from upstream's own statements and from boundaries of ranges.

    quality/matching/derive.py ADVISORIES_FOLDER

writes the .tsv files beside it. No code of Proofmark is used: versions are ordered by position in a list of releases,
or as plain tuples of numbers; where neither is possible no label is made. Columns: what is asked, CVE, expected
(affected, not-affected), product, how the label was obtained.

openssl.tsv        the OpenSSL project's own table of each CVE against the releases of its branches: first affected
                   release, the one before it, last affected release, first fixed release
curl.tsv           the same from curl's advisories (introduced, last_affected, fixed)
mbedtls.tsv        fixed releases, and the release before each where the advisory says that it reaches back further
kernel.tsv         per stable stream: the fixing release, the one before it, a release of a stream that was given up
distributions.tsv  Debian and Alpine packages at the fixing revision and one below it
nvd.tsv            products that only NVD speaks about: below, at and above the ends of ranges of plain numbers
traps.tsv          records about products of the same name under another vendor
"""
import gzip
import json
import pathlib
import re
import sys

DATA = pathlib.Path(sys.argv[1])
HERE = pathlib.Path(__file__).parent


def lines(name):
    opener = gzip.open if name.endswith('.gz') else open
    with opener(DATA / name, 'rt', encoding='utf-8') as f:
        return [json.loads(l) for l in f.read().split('\n') if l.strip()]


def write(name, rows):
    seen, out = {}, []
    for row in rows:
        key = row[:2]
        if key in seen:
            # Two sources that disagree label nothing.
            if seen[key] != row[2]:
                out = [r for r in out if r[:2] != key]
            continue
        seen[key] = row[2]
        out.append(row)
    out.sort()
    with open(HERE / name, 'w', encoding='utf-8') as f:
        f.write('asked\tcve\texpected\tproduct\thow\n')
        f.writelines('\t'.join(r) + '\n' for r in out)
    yes = sum(r[2] == 'affected' for r in out)
    print(f'{name}: {len(out)} rows, {yes} affected')


def agreed(rows):
    """Without what is labelled both ways, as where a second advisory names a second fixing revision."""
    labels = {}
    for r in rows:
        labels.setdefault(r[:2], set()).add(r[2])
    return [r for r in rows if len(labels[r[:2]]) == 1]


def take(rows, step):
    """Every step-th row, so that large sets stay balanced over years."""
    return [r for i, r in enumerate(rows) if i % step == 0]


def numbers(v):
    return tuple(int(x) for x in v.split('.')) if re.fullmatch(r'\d+(\.\d+)*', v) else None


def padded(a):
    return a + (0,) * (8 - len(a))


def lower(v):
    """The version one below in its last number, where there is one."""
    n = numbers(v)
    return '.'.join(map(str, n[:-1] + (n[-1] - 1,))) if n and n[-1] > 0 else None


# --- OpenSSL: all releases of each branch in their order, from the project's own list of releases.
def letters(base, last):
    out = [base]
    for c in 'abcdefghijklmnopqrstuvwxyz':
        out.append(base + c)
        if c == last:
            return out
    for c in 'abcdefghijklmnopqrstuvwxyz':
        out.append(base + 'z' + c)
        if 'z' + c == last:
            return out
    raise ValueError(last)


OPENSSL = [
    letters('0.9.6', 'm'), letters('0.9.7', 'm'), letters('0.9.8', 'zh'), letters('1.0.0', 't'),
    letters('1.0.1', 'u'), letters('1.0.2', 'zq'), letters('1.1.0', 'l'), letters('1.1.1', 'zh'),
    ['3.0.%d' % i for i in range(22)], ['3.1.%d' % i for i in range(9)], ['3.2.%d' % i for i in range(7)],
    ['3.3.%d' % i for i in range(8)], ['3.4.%d' % i for i in range(7)], ['3.5.%d' % i for i in range(8)],
    ['3.6.%d' % i for i in range(4)],
]


def openssl():
    rows = []
    for record in lines('openssl-cve5.jsonl.gz'):
        cve = record['cveMetadata']['cveId']
        if record['cveMetadata'].get('state') != 'PUBLISHED':
            continue
        affected, bad = set(), False
        ranges = []
        for a in record['containers']['cna']['affected']:
            for v in a['versions']:
                start, end, closed = v['version'], v.get('lessThan'), v.get('lessThanOrEqual')
                branch = next((b for b in OPENSSL if start in b and (end or closed) in b), None)
                if v['status'] != 'affected' or branch is None:
                    bad = True
                    continue
                i, j = branch.index(start), branch.index(end or closed) + (1 if closed else 0)
                affected |= set(branch[i:j])
                ranges.append((branch, i, j))
        if bad:
            continue
        for branch, i, j in ranges:
            picks = {branch[i]: 'first affected', branch[j - 1]: 'last affected'}
            if j < len(branch):
                picks[branch[j]] = 'first fixed'
            if i > 0:
                picks[branch[i - 1]] = 'before the first affected'
            for v, how in picks.items():
                expected = 'affected' if v in affected else 'not-affected'
                rows.append((f'openssl {v}', cve, expected, 'openssl', f"OpenSSL's table: {how}"))
        for branch in OPENSSL[5:9]:
            if not any(v in affected for v in branch):
                rows.append((f'openssl {branch[0]}', cve, 'not-affected', 'openssl', "OpenSSL's table: other branch"))
    write('openssl.tsv', take(rows, 3))


def curl():
    rows = []
    for record in lines('curl-osv.jsonl.gz'):
        cve = next((a for a in record['aliases'] if a.startswith('CVE-')), None)
        semver = [r for a in record['affected'] for r in a['ranges'] if r['type'] == 'SEMVER']
        if not cve or len(semver) != 1 or len(semver[0]['events']) != 2:
            continue
        events = {k: v for e in semver[0]['events'] for k, v in e.items()}
        first, fixed, last = events.get('introduced'), events.get('fixed'), record['database_specific']['last_affected']
        if not fixed or not all(map(numbers, (first, fixed, last))):
            continue
        how = "curl's advisory: "
        if first != '0':
            rows.append((f'curl {first}', cve, 'affected', 'curl', how + 'introduced'))
            if lower(first):
                rows.append((f'curl {lower(first)}', cve, 'not-affected', 'curl', how + 'before it was introduced'))
        rows.append((f'curl {last}', cve, 'affected', 'curl', how + 'last affected'))
        rows.append((f'pkg:generic/curl@{fixed}', cve, 'not-affected', 'curl', how + 'fixed'))
    write('curl.tsv', take(rows, 2))


def mbedtls():
    rows = []
    for record in lines('mbedtls-advisories.jsonl.gz'):
        text = re.sub(r'<br>', ' ', record['affects'] or '')
        # Advisories about the crypto library of its own mix the versions of two products.
        if 'Crypto' in text:
            continue
        # Beside releases the list has branches (3.6) and releases of the crypto library, whose numbers lie below what the
        # text says is affected ("all versions of Mbed TLS up to 3.6.4", fixed in 3.6.5 and 1.0.0).
        ends = [padded(numbers(v)) for v in re.findall(r'(?<!prior )(?:to|through|including)(?: Mbed TLS)? (\d+\.\d+\.\d+)', text)]
        fixed = [v for v in record['fixed_versions'] if (numbers(v) or (0,))[0] and len(numbers(v)) == 3]
        fixed = [v for v in fixed if not ends or padded(numbers(v)) > min(ends)]
        m = re.match(r'(?i)(?:all versions? of )?(?:mbed TLS|PolarSSL)(?: (?:from |since )?(?:version )?(\d+(?:\.\d+)+))?', text)
        whole = text.lower().startswith('all version')
        for cve in record['cves']:
            for v in fixed:
                if numbers(v)[0] < 2 and '2.' in text:
                    continue
                rows.append((f'mbedtls {v}', cve, 'not-affected', 'mbedtls', 'Mbed TLS advisory: fixed release'))
                below = lower(v)
                if not m or not below or not (whole or m.group(1)):
                    continue
                start = m.group(1) if re.search(r'(?i)from|since|and up|above|upwards|to |through', text) else None
                if start is None and not whole or start and padded(numbers(below)) < padded(numbers(start)):
                    continue
                # A gap between two starting points is not labelled.
                if len(re.findall(r'from', text)) > 1:
                    continue
                rows.append((f'mbedtls {below}', cve, 'affected', 'mbedtls', 'Mbed TLS advisory: release before the fix'))
    write('mbedtls.tsv', rows)


def kernel():
    rows = []
    for record in lines('linux-kernel-cves.jsonl.gz'):
        cve = record['cve']
        main = record.get('mainline') or {}
        for stream, status in record.get('stream_status', {}).items():
            if not main.get('fixed') or not main.get('introduced'):
                continue
            how = f'stable stream {stream}: '
            if status.startswith('fixed:'):
                v = status[6:]
                n = numbers(v)
                if not n or '.'.join(map(str, n[:2])) != stream:
                    continue
                rows.append((f'linux {v}', cve, 'not-affected', 'linux', how + 'fixing release'))
                if len(n) == 3 and n[2] > 1:
                    rows.append((f'linux {lower(v)}', cve, 'affected', 'linux', how + 'release before the fix'))
    write('kernel.tsv', take(rows, 41))


def distributions():
    # A second advisory about the same fix (DSA-N-2) makes two fixing revisions, which label nothing.
    rows, fixes = [], {}
    suites = {'stretch': '9', 'buster': '10', 'bullseye': '11'}
    want = {'openssl', 'curl', 'dnsmasq', 'busybox', 'openssh', 'expat', 'zlib', 'wpa', 'lighttpd', 'nginx',
            'sudo', 'net-snmp', 'strongswan', 'libxml2', 'openldap', 'frr', 'quagga', 'asterisk', 'tcpdump', 'rsync', 'ntp', 'apache2', 'bind9'}
    for name in ('debian-dsa-list.txt.gz', 'debian-dla-list.txt.gz'):
        cves = []
        for line in gzip.open(DATA / name, 'rt', encoding='utf-8'):
            if line.startswith('['):
                cves = []
            elif line.strip().startswith('{'):
                cves = line.strip(' \t\n{}').split()
            m = re.match(r'\s+\[(\w+)\] - (\S+) (\S+)', line)
            if not m or m[1] not in suites or m[2] not in want or m[3].startswith('<') or 'deb' not in m[3]:
                continue
            tail = re.fullmatch(r'(.*\+deb\d+u)(\d+)', m[3])
            for cve in cves[:3]:
                purl = f'pkg:deb/debian/{m[2]}@%s?distro=debian-{suites[m[1]]}'
                fixes.setdefault((m[2], m[1], cve), set()).add(m[3])
                at = m[3].replace('+', '%2B').replace(':', '%3A')
                rows.append((purl % at, cve, 'not-affected', m[2], f'Debian {m[1]}: fixing revision', (m[2], m[1], cve)))
                if tail and int(tail[2]) > 1:
                    below = f'{tail[1]}{int(tail[2]) - 1}'.replace('+', '%2B').replace(':', '%3A')
                    rows.append((purl % below, cve, 'affected', m[2], f'Debian {m[1]}: revision before the fix', (m[2], m[1], cve)))
    # Rows carry their key behind them until all fixing revisions are known.
    debian = take(agreed([r[:5] for r in rows if len(fixes[r[5]]) == 1]), 4)
    rows = []
    for branch in lines('alpine-secdb.jsonl.gz'):
        if branch['branch'] not in ('3.15', '3.18', '3.20') or branch['repo'] != 'main':
            continue
        for p in branch['packages']:
            pkg = p['pkg']
            if pkg['name'] not in {'openssl', 'curl', 'busybox', 'dnsmasq', 'bind', 'expat', 'zlib', 'openssh', 'hostapd', 'libxml2', 'xz'}:
                continue
            for fixed, ids in pkg['secfixes'].items():
                for cve in (i.split()[0] for i in ids[:2]):
                    if not re.fullmatch(r'CVE-\d+-\d+', cve) or fixed == '0':
                        continue
                    purl = f"pkg:apk/alpine/{pkg['name']}@%s?distro=alpine-{branch['branch']}.0"
                    rows.append((purl % fixed, cve, 'not-affected', pkg['name'], f"Alpine {branch['branch']}: fixing revision"))
                    m = re.fullmatch(r'(.*-r)(\d+)', fixed)
                    if m and int(m[2]) > 0:
                        rows.append((purl % f'{m[1]}{int(m[2]) - 1}', cve, 'affected', pkg['name'], f"Alpine {branch['branch']}: revision before the fix"))
    write('distributions.tsv', debian + take(agreed(rows), 3))


NVD = {
    'dnsmasq': {'thekelleys:dnsmasq'}, 'busybox': {'busybox:busybox'}, 'dropbear': {'dropbear_ssh_project:dropbear_ssh'},
    'hostapd': {'w1.fi:hostapd'}, 'wpa_supplicant': {'w1.fi:wpa_supplicant'}, 'lighttpd': {'lighttpd:lighttpd'},
    'net-snmp': {'net-snmp:net-snmp'}, 'strongswan': {'strongswan:strongswan'}, 'libxml2': {'xmlsoft:libxml2'},
    'expat': {'libexpat_project:libexpat'}, 'zlib': {'zlib:zlib'}, 'tcpdump': {'tcpdump:tcpdump'},
    'miniupnpd': {'miniupnp_project:miniupnpd'}, 'unbound': {'nlnetlabs:unbound'}, 'openvpn': {'openvpn:openvpn'},
    'u-boot': {'denx:u-boot'}, 'libssh2': {'libssh2:libssh2'}, 'libssh': {'libssh:libssh'}, 'sqlite': {'sqlite:sqlite'},
    'nginx': {'f5:nginx', 'nginx:nginx'}, 'apache-httpd': {'apache:http_server'}, 'wolfssl': {'wolfssl:wolfssl'},
    'glibc': {'gnu:glibc'}, 'quagga': {'quagga:quagga'}, 'gnutls': {'gnu:gnutls'}, 'mosquitto': {'eclipse:mosquitto'},
    'haproxy': {'haproxy:haproxy'}, 'libtirpc': {'libtirpc_project:libtirpc'}, 'pcre2': {'pcre:pcre2'}, 'rsync': {'samba:rsync'},
}


def nvd():
    records = json.load(gzip.open(DATA / 'nvd20-embedded-components.json.gz'))['vulnerabilities']
    spoken = {r['cveMetadata']['cveId'] for r in lines('cve5-embedded-components.jsonl.gz')}
    spoken |= {json.loads(l)['_annotation']['cve_id'] for l in gzip.open(DATA / 'nvd-overrides-anchore.jsonl.gz', 'rt').read().split('\n') if l.strip()}
    rows = []
    for entry in records:
        cve = entry['cve']
        if cve['id'] in spoken or cve.get('vulnStatus') == 'Rejected':
            continue
        for product, pairs in NVD.items():
            ranges, simple = [], True
            for configuration in cve.get('configurations', []):
                for node in configuration['nodes']:
                    for m in node['cpeMatch']:
                        p = re.split(r'(?<!\\):', m['criteria'])
                        if f'{p[3]}:{p[4]}' not in pairs:
                            continue
                        conditional = configuration.get('operator') == 'AND' or node['negate'] or not m['vulnerable']
                        ends = [m.get(k) for k in ('versionStartIncluding', 'versionStartExcluding', 'versionEndIncluding', 'versionEndExcluding')]
                        plain = all(e is None or numbers(e) for e in ends) and set(p[6:]) == {'*'}
                        if p[5] == '*' and any(ends) and plain and not conditional:
                            ranges.append(ends)
                        elif numbers(p[5]) and plain and not conditional and not any(ends):
                            ranges.append([p[5], None, p[5], None])
                        else:
                            simple = False
            if not simple or not ranges or len(ranges) > 12:
                continue

            def inside(v):
                n = padded(numbers(v))
                at = lambda e: padded(numbers(e))
                return any((si is None or n >= at(si)) and (se is None or n > at(se)) and (ei is None or n <= at(ei)) and (ee is None or n < at(ee))
                           for si, se, ei, ee in ranges)

            picks = {}
            for si, se, ei, ee in ranges[:2] + ranges[-1:]:
                for end, what in ((si, 'start'), (ei, 'last'), (ee, 'end')):
                    if end:
                        picks[end] = f'at the {what} of a range'
                        if lower(end):
                            picks[lower(end)] = f'below the {what} of a range'
                        n = numbers(end)
                        picks['.'.join(map(str, n[:-1] + (n[-1] + 1,)))] = f'above the {what} of a range'
            for v, how in picks.items():
                rows.append((f'{product} {v}', cve['id'], 'affected' if inside(v) else 'not-affected', product, 'NVD range: ' + how))
    write('nvd.tsv', take(rows, 5))


def traps():
    own, names = set(), {}
    for d in lines('embedded-components.jsonl'):
        for c in d['cpe']:
            own.add(f"{c['vendor']}:{c['product']}".replace('\\', ''))
            names.setdefault(c['product'].replace('\\', ''), d['name'])
        names.setdefault(d['name'], d['name'])
    rows = []
    for entry in json.load(gzip.open(DATA / 'nvd20-name-collisions.json.gz'))['vulnerabilities']:
        cve = entry['cve']
        pairs, asked = set(), {}
        for configuration in cve.get('configurations', []):
            for node in configuration['nodes']:
                for m in node['cpeMatch']:
                    p = re.split(r'(?<!\\):', m['criteria'])
                    pair = f'{p[3]}:{p[4]}'.replace('\\', '')
                    pairs.add(pair)
                    if m['vulnerable'] and p[4] in names and pair not in own:
                        v = p[5] if numbers(p[5]) else m.get('versionEndIncluding') or m.get('versionEndExcluding')
                        if v and numbers(v):
                            asked[(names[p[4]], v)] = pair
        if pairs & own:
            continue
        for (name, v), pair in list(asked.items())[:1]:
            # These are the product under a vendor's or an old name.
            if pair in ('ncurses_project:ncurses', 'perl:pcre', 'redhat:tcpdump', 'kernel:linux_kernel', 'red_hat:linux_kernel', 'ubuntu:linux_kernel',
                        'redhat:vsftpd', 'gentoo:glibc', 'redhat:libtirpc', 'suse:cups'):
                continue
            rows.append((f'{name} {v}', cve['id'], 'not-affected', name, f'the record is about {pair}'))
    write('traps.tsv', take(rows, 3))


for derive in (openssl, curl, mbedtls, kernel, distributions, nvd, traps):
    derive()
