# Runs one server and ends it when the program that started us goes away, however it goes.
#
# Arguments: LOG SCRATCH COMMAND…   SCRATCH: a directory to remove at the end, or empty.
# Standard output: the server's process id, once. Standard input: a line with the name of a signal sends that signal to
# the server; the end of input (our parent closed the pipe, or died) stops the server at once.

log=$1 scratch=$2
shift 2

exec 3<&0
"$@" </dev/null >>"$log" 2>&1 3<&- &
server=$!
echo "$server"
exec >/dev/null 2>&1

{
    while read -r signal <&3; do
        kill -s "$signal" "$server"
    done
    if [ -n "$scratch" ]; then
        : >"$scratch/.remove"
    fi
    # Again and again: a server that has only just begun ignores it, as a shell's background jobs do.
    while kill -s QUIT "$server"; do
        kill -s CONT "$server" # a stopped process would not act on QUIT
        sleep 0.2
    done
} &
listener=$!

wait "$server"
code=$?
kill "$listener"
if [ -n "$scratch" ] && [ -e "$scratch/.remove" ]; then
    rm -rf -- "$scratch"
    # The last server's supervisor leaves nothing: `rm` without -r takes files alone.
    rm -f -- "${scratch%/*}"/*
    rmdir -- "${scratch%/*}"
fi
exit "$code"
