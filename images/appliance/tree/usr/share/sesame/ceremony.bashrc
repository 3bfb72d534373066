# Of the shell on the ceremony console. Nothing of a session stays.
unset HISTFILE
PS1='ceremony$ '
# Its escape sequences are noise on a serial line.
bind 'set enable-bracketed-paste off'
umask 077
# An exclamation mark is one, also between double quotes.
set +H
cd

# Without logind only root switches a machine off; these ask it to.
poweroff() { /usr/libexec/sesame/ceremony-console request poweroff "$@"; }
reboot() { /usr/libexec/sesame/ceremony-console request reboot "$@"; }
