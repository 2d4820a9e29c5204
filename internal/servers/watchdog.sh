# Ends a server whose parent is gone: see watchdogScript in process.go.
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
