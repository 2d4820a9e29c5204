# Ends a server whose parent is gone, and removes its directory.
#
#   $1  the server's directory
#   $2  the signal that ends the server
#
# Standard input is a pipe that only the parent holds. On it come the pid of the
# program that runs in the directory (0: none), and "bye" when the parent has
# cleaned up itself. When the pipe ends without it, the parent was killed.
pid=0
while read -r line; do
	if [ "$line" = bye ]; then
		exit 0
	fi
	pid=$line
done
if [ "$pid" != 0 ]; then
	kill -"$2" "$pid" 2>/dev/null
	tries=0
	while kill -0 "$pid" 2>/dev/null && [ "$tries" -lt 60 ]; do
		sleep 0.1
		tries=$((tries + 1))
	done
	kill -KILL "$pid" 2>/dev/null
fi
rm -rf -- "$1"
