#!/bin/busybox sh
# The first process of the guest: loads the drivers of the port, then runs the agent on it in a
# loop, so that an agent that dies is replaced.
/bin/busybox mkdir -p /proc /sys /dev /tmp /root
/bin/busybox --install -s /bin
export PATH=/bin HOME=/root
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
exec </dev/console >/dev/console 2>&1
hostname guest
cd /root

while read -r module; do
    insmod "/modules/$module" || echo "init: cannot load $module"
done </modules/order

# The port is found by its name, because its device number depends on the machine.
port=
while [ -z "$port" ]; do
    for entry in /sys/class/virtio-ports/*; do
        if [ "$(cat "$entry/name" 2>/dev/null)" = org.antiphon.0 ]; then
            port=/dev/${entry##*/}
        fi
    done
    [ -n "$port" ] || usleep 20000
done

while :; do
    echo "init: starting the agent on $port"
    antiphon-agent --serial "$port"
    echo "init: the agent ended with $?"
    usleep 50000
done
