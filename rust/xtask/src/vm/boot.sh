#!/bin/sh
# boot PORT CONSOLE: starts the machine in the directory of this script. PORT is the path of the
# Unix socket to create for the guest's virtio-serial port; CONSOLE is a file for the guest's
# console, or `stdio`. It always uses software emulation, so that the machine is the same on every
# host.
set -eu
here=$(dirname "$0")
case $2 in stdio) console=stdio ;; *) console=file:$2 ;; esac
if ! qemu-system-x86_64 --version >/dev/null 2>&1; then
    # The system has no QEMU: use the one that set-up unpacked here. It finds its firmware relative
    # to its own path.
    PATH=$here/qemu/usr/bin:$PATH
    LD_LIBRARY_PATH=$here/qemu/usr/lib/x86_64-linux-gnu:$here/qemu/lib/x86_64-linux-gnu
    export LD_LIBRARY_PATH
fi
exec qemu-system-x86_64 -accel tcg -M q35 -m 256 -nodefaults -nic none -display none -no-reboot \
    -kernel "$here/vmlinuz" -initrd "$here/initrd" -append "console=ttyS0 panic=-1 quiet" \
    -serial "$console" -monitor none -device virtio-serial-pci \
    -chardev "socket,path=$1,server=on,wait=off,id=port" \
    -device virtserialport,chardev=port,name=org.antiphon.0
