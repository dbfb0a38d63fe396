-- A fresh Debian in a folder: to install in, to boot, to build an image from. For root alone.
-- SPDX-License-Identifier: MIT

local process = require "spec.support.process"

---@class debian
local Debian = {}
Debian.__index = Debian

local debian = {}

local function must(command)
  local output, status = process.run(command)
  assert(status == 0, output)
  return output
end

--- The release of this machine, its smallest variant.
function debian.new(root)
  must((". /etc/os-release; PATH=$PATH:/usr/sbin debootstrap --variant=minbase $VERSION_CODENAME %s"):format(root))
  return setmetatable({ root = root }, Debian)
end

--- Runs a command in it, as an ordinary user unless said otherwise: its output and exit status.
function Debian:run(command, user)
  return process.run(("chroot --userspec=%s %s env -i HOME=/tmp LANG=C.UTF-8 PATH=/usr/sbin:/usr/bin:/sbin:/bin %s")
    :format(user or "1000:1000", self.root, command))
end

--- Runs apt-get in it.
function Debian:apt(words)
  local output, status = self:run("DEBIAN_FRONTEND=noninteractive apt-get -qq " .. words, "0:0")
  assert(status == 0, output)
end

--- Writes a file of it.
function Debian:write(path, text, mode)
  must(("install -D -m %s /dev/null %s%s"):format(mode or "644", self.root, path))
  return process.write(self.root .. path, text)
end

-- Namespaces with what systemd wants to find and nothing of this machine's that it could set. Where it takes itself to
-- be in a container, it is for others to share the mounts, by which credentials reach a service.
local BOOT = [[
set -eu
mount --make-rprivate / && mount --bind %s %s && cd %s
mount -t proc proc proc && mount --bind proc/sys proc/sys && mount -o remount,bind,ro proc/sys
mount -t sysfs -o ro sysfs sys && mount -t cgroup2 cgroup2 sys/fs/cgroup
for folder in dev run tmp; do mount -t tmpfs -o mode=755 tmpfs $folder; done
for node in null zero full random urandom tty; do touch dev/$node; mount --bind /dev/$node dev/$node; done
touch dev/console && mkdir dev/pts dev/shm && mount -t devpts devpts dev/pts && ln -s pts/ptmx dev/ptmx
pivot_root . mnt && umount -l mnt && mount --make-rshared /
exec env -i container=unshare /lib/systemd/systemd --show-status=no --log-target=journal --unit=this.service]]

local UNIT = [[
[Unit]
SuccessAction=exit
SuccessActionExitStatus=0
FailureAction=exit
FailureActionExitStatus=1
[Service]
Type=oneshot
ExecStart=/bin/sh -c 'exec sh /root/this >/root/output 2>&1']]

--- Boots it by its own systemd, on this machine's network; once it is up it runs a script and ends: what the script
--- said, and whether it and the boot went well.
function Debian:boot(script)
  self:write("/root/this", script)
  self:write("/root/output", "")
  self:write("/etc/systemd/system/this.service", UNIT)
  local _, status = process.run("timeout -k 1 60 unshare --mount --pid --fork --uts --ipc --cgroup --kill-child sh -c "
    .. process.quote(BOOT:format(self.root, self.root, self.root)))
  return process.read(self.root .. "/root/output"), status == 0
end

return debian
