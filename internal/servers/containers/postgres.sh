# Runs PostgreSQL in a container of any image that has it, as the image's user
# postgres. PGASIDE_PASSWORD is the superuser's password, PGASIDE_CONF lines for
# postgresql.conf.
set -eu
for dir in /usr/lib/postgresql/*/bin; do
	PATH=$PATH:$dir
done
export PATH LC_ALL=C
data=/tmp/pgaside/data
if [ ! -d "$data" ]; then
	mkdir -p "$data.new" # initdb makes it private
	printf %s "$PGASIDE_PASSWORD" >/tmp/pgaside/password
	initdb -D "$data.new" -U pgaside --pwfile=/tmp/pgaside/password --auth=scram-sha-256 -E UTF8 --locale=C --no-sync
	printf '%s\n' "$PGASIDE_CONF" "listen_addresses = '*'" "unix_socket_directories = ''" >>"$data.new/postgresql.conf"
	# The engine forwards connections from an address of its own.
	echo 'host all all all scram-sha-256' >>"$data.new/pg_hba.conf"
	mv "$data.new" "$data"
fi
# After a kill: the pid in it may be another process of the new container.
rm -f "$data/postmaster.pid"
exec postgres -D "$data"
