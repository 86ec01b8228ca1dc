#!/bin/sh
# Builds the sample gateway: build.sh OUTPUT-IMAGE
# Needs cc, openssl, ssh-keygen and mksquashfs.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
out=${1:?"usage: build.sh OUTPUT-IMAGE"}
for tool in cc openssl ssh-keygen mksquashfs; do
	command -v "$tool" >/dev/null || { echo "build.sh: $tool is missing; install gcc, openssl, openssh-client and squashfs-tools" >&2; exit 1; }
done
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
root=$work/root
cp -R "$here/root" "$root"
mkdir -p "$root/bin" "$root/sbin" "$root/usr/sbin" "$root/lib" "$root/proc" "$root/sys" "$root/tmp" "$root/var" \
	"$root/dev" "$root/root" "$root/home/support/.ssh"

# Programs: everything is hardened as the compiler can, but the one that is planted not to be.
hardened="-O2 -fPIE -pie -fstack-protector-strong -fstack-clash-protection -fcf-protection=full
	-D_FORTIFY_SOURCE=2 -Wl,-z,relro,-z,now,-z,noexecstack,-z,separate-code -s"
build() { # PATH NAME PORT
	# shellcheck disable=SC2086
	cc $hardened -DNAME="\"$2\"" -DPORT="$3" -o "$root$1" "$here/src/daemon.c"
}
cc $hardened -o "$root/bin/sh" "$here/src/sh.c"
cc $hardened -o "$root/bin/login" "$here/src/sh.c"
cc $hardened -o "$root/sbin/init" "$here/src/sh.c"
cc $hardened -o "$root/sbin/getty" "$here/src/sh.c"
build /usr/sbin/telnetd telnetd 23
build /usr/sbin/uhttpd uhttpd 443
build /usr/sbin/dropbear dropbear 22
cc -O0 -U_FORTIFY_SOURCE -fno-stack-protector -no-pie -fcf-protection=none -z execstack -Wl,-z,norelro \
	-DNAME='"cwmpd"' -DPORT=7547 -s -o "$root/usr/sbin/cwmpd" "$here/src/daemon.c"

# Accounts. The password stands in catalogue/passwords; the salt is fixed, so the hash is the same in each build.
hash=$(openssl passwd -6 -salt Proofmark admin)
printf 'root:%s:19700:0:99999:7:::\ndaemon:*:19700:0:99999:7:::\nwww:*:19700:0:99999:7:::\nacs:*:19700:0:99999:7:::\nsupport:!:19700:0:99999:7:::\n' "$hash" >"$root/etc/shadow"

# The login key, and the key and certificate of the web server: 1024 bits, valid in 2019 only.
ssh-keygen -q -t ed25519 -N '' -C support@gateway -f "$work/support"
cp "$work/support.pub" "$root/home/support/.ssh/authorized_keys"
cat >"$work/ca.cnf" <<CNF
[ca]
default_ca = me
[me]
database = $work/index
new_certs_dir = $work
serial = $work/serial
default_md = sha256
policy = any
[any]
commonName = supplied
[req]
distinguished_name = name
[name]
CNF
: >"$work/index"
echo 01 >"$work/serial"
openssl genrsa -out "$root/etc/gateway.key" 1024 2>/dev/null
openssl req -new -config "$work/ca.cnf" -key "$root/etc/gateway.key" -subj /CN=gateway.lan -out "$work/csr"
openssl ca -batch -config "$work/ca.cnf" -selfsign -keyfile "$root/etc/gateway.key" -in "$work/csr" -notext \
	-startdate 20190101000000Z -enddate 20191231235959Z -out "$root/etc/gateway.crt" 2>/dev/null

# The C library of this machine, so that every program finds what it needs.
for library in $(ldd "$root/bin/sh" | sed -n 's/.*[[:space:]]\(\/[^ ]*\).*/\1/p'); do
	mkdir -p "$root$(dirname "$library")"
	cp -L "$library" "$root$library"
done

chmod 0600 "$root/etc/shadow" "$root/etc/gateway.key" "$root/home/support/.ssh/authorized_keys"
chmod 0700 "$root/root" "$root/home/support" "$root/home/support/.ssh"
chmod 0755 "$root"/etc/init.d/*
chmod 1777 "$root/tmp"
mksquashfs "$root" "$work/root.squashfs" -comp xz -noappend -no-progress -quiet -all-root \
	-p '/dev/console c 600 0 0 5 1' -p '/dev/null c 666 0 0 1 3' \
	-p '/bin/rescue-sh f 4755 0 0 cat '"$root/bin/sh" \
	>/dev/null
{ head -c 262144 /dev/zero | tr '\000' '\377'; cat "$work/root.squashfs"; } >"$out.part"
mv "$out.part" "$out"
