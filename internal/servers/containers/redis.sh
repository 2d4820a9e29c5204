# Runs Redis, or Valkey, in a container of any image that has it.
set -eu
server=$(command -v redis-server || command -v valkey-server)
exec "$server" --port 6379 --bind 0.0.0.0 --protected-mode no --save '' --appendonly no --dir /tmp "$@"
