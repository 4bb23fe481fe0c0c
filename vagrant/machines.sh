# How scripts reach the machines. Sourced, never run. `here` is the folder of this file.
#
# `ssh-config` is what `vagrant ssh-config` says; `vagrant/without-kvm up` writes one, too.
# shellcheck shell=bash
# shellcheck disable=SC2154

MACHINES=(control worker1 worker2)
SSH_CONFIG=$here/.vagrant/ssh-config

know_machines() {
    if [ ! -e "$SSH_CONFIG" ]; then
        mkdir -p "${SSH_CONFIG%/*}"
        (cd "$here" && vagrant ssh-config >"$SSH_CONFIG.new") || {
            rm -f "$SSH_CONFIG.new"
            printf 'vagrant ssh-config fails: expected machines that run (vagrant up)\n' >&2
            exit 2
        }
        mv "$SSH_CONFIG.new" "$SSH_CONFIG"
    fi
}

# on MACHINE COMMAND...: words are read by the shell over there.
on() {
    know_machines
    ssh -F "$SSH_CONFIG" -o LogLevel=ERROR "$1" -- "${@:2}"
}

everywhere() {
    local machine
    for machine in "${MACHINES[@]}"; do
        on "$machine" "$@"
    done
}
