#!/bin/sh
# Which sources the kernel's own build compiles under a configuration, one path on each line.
#
#     objects.sh SOURCE CONFIG ARCH [CROSS-PREFIX]
#
# The whole build of the kernel runs, with a compiler that writes empty objects (cc.c): minutes instead of hours, and the
# kernel's build files decide, no reading of them. Linking fails at the end, which does not matter. Needs make, gcc (or
# the cross compiler), flex, bison, bc, libelf-dev, libssl-dev.
set -eu
source=$(realpath "$1") config=$(realpath "$2") arch=$3 cross=${4-}
here=$(dirname "$(realpath "$0")")
work=${PROOFMARK_KERNEL_BUILD:-$(mktemp -d)}
mkdir -p "$work"
cc -O1 -o "$work/cc" "$here/cc.c"
export REAL_CC="${cross}gcc" EMPTY_O="$work/empty.o"
echo | "$REAL_CC" -c -x c -o "$EMPTY_O" -
cp "$config" "$work/.config"
run() { make -C "$source" O="$work" ARCH="$arch" CROSS_COMPILE="$cross" "$@" >>"$work/log" 2>&1; }
run olddefconfig
# Tools that look into objects find nothing in empty ones.
for option in OBJTOOL STACK_VALIDATION DEBUG_INFO_BTF MODULE_SIG MODULE_SIG_ALL TRIM_UNUSED_KSYMS MODVERSIONS; do
    "$source/scripts/config" --file "$work/.config" --disable "$option"
done
sed -i 's/^CONFIG_\(SYSTEM_TRUSTED_KEYS\|SYSTEM_REVOCATION_KEYS\)=.*/CONFIG_\1=""/' "$work/.config"
run olddefconfig
run -k -j"${JOBS:-2}" CC="$work/cc" vmlinux modules || true
# Objects whose own list of dependencies names a source; those that are generated, tools and modules' tails are not it.
cd "$work"
find . -name '.*.o.cmd' ! -path './scripts/*' ! -path './tools/*' -print0 |
    xargs -0 grep -h '^source_' |
    sed -n "s,^source_[^:]*:= *$source/,,p; s,^source_[^:]*:= *\.\./*,,p" |
    grep -v -e '\.mod\.c$' | sort -u
