#!/bin/sh
# Builds the benchmark gateway: build.sh FOLDER
# Writes FOLDER/gateway-1.img and FOLDER/gateway-2.img: SquashFS (xz) root file systems of about 40 MB with 13,000
# files, made of the distribution's armhf packages, and the next release of the same product (some packages
# changed). Fetches packages as an ordinary user into FOLDER; needs apt-get, dpkg-deb and mksquashfs.
set -eu
out=${1:?"usage: build.sh FOLDER"}
mkdir -p "$out"
out=$(cd "$out" && pwd)
[ -s "$out/gateway-2.img" ] && exit 0
packages="adduser avahi-daemon bash bind9-host bind9-libs bridge-utils busybox bzip2 ca-certificates cron dbus
	dnsmasq-base dropbear-bin e2fsprogs ethtool freeradius freeradius-common gzip hostapd htop igmpproxy iproute2
	iptables iputils-ping iw jq krb5-locales less libc6 libcurl4 libgcc-s1 libkrb5-3 libnftables1 libpython3.11-minimal
	libpython3.11-stdlib libsnmp-base libsnmp40 libsqlite3-0 libssl3 libstdc++6 libstrongswan libxml2 lighttpd login
	logrotate lua5.3 man-db manpages-dev miniupnpd mosquitto mtd-utils nano ncurses-term net-tools nftables nginx-common
	ntpsec openssl openvpn passwd perl-base perl-modules-5.36 ppp python3.11-minimal rsyslog snmpd sqlite3
	strongswan-charon strongswan-starter systemd tar tcpdump tzdata u-boot-tools udev util-linux wireguard-tools
	wpasupplicant xl2tpd zlib1g"
options="-qq -o APT::Architecture=armhf -o APT::Architectures=armhf -o Dir::State::lists=$out/lists -o Dir::Cache=$out
	-o Dir::State::status=/dev/null -o APT::Sandbox::User=$(id -un)"
mkdir -p "$out/lists/partial" "$out/archives/partial" "$out/debs"
# shellcheck disable=SC2086
# One of several indexes that cannot be had is no reason to stop: what is missing shows at the download.
apt-get $options update || true
cd "$out/debs"
for p in $packages; do
	# shellcheck disable=SC2086
	ls "$p"_*.deb >/dev/null 2>&1 || apt-get $options download "$p"
done
root=$out/root
rm -rf "$root"
mkdir -p "$root/var/lib/dpkg/info"
for deb in "$out"/debs/*.deb; do
	dpkg-deb -x "$deb" "$root"
	name=$(dpkg-deb -f "$deb" Package)
	{ dpkg-deb -f "$deb" | sed '1a Status: install ok installed'; echo; } >>"$root/var/lib/dpkg/status"
	dpkg-deb -c "$deb" | awk '{ sub(/^\./, "", $6); sub(/\/$/, "", $6); if ($6 != "") print $6 }' >"$root/var/lib/dpkg/info/$name.list"
done
rm -rf "$root/usr/share/doc" "$root/usr/share/locale"
printf 'root:x:0:0:root:/root:/bin/sh\ndaemon:*:1:1::/:/bin/false\n' >"$root/etc/passwd"
printf 'root:*:19700:0:99999:7:::\n' >"$root/etc/shadow"
pack() { mksquashfs "$root" "$out/$1.part" -comp xz -b 256k -noappend -quiet -no-progress -all-root >/dev/null && mv "$out/$1.part" "$out/$1"; }
pack gateway-1.img
# The next release: one library and two daemons rebuilt, some scripts and settings changed.
for f in usr/lib/arm-linux-gnueabihf/libssl.so.3 usr/sbin/hostapd usr/sbin/dnsmasq; do
	[ -e "$root/$f" ] && printf 'next release' >>"$root/$f"
done
find "$root/etc" -type f -name '*.conf' | LC_ALL=C sort | head -n 40 | while read -r f; do printf '\n# next release\n' >>"$f"; done
pack gateway-2.img
