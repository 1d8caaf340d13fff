#!/bin/sh
# Runs a node of a cache with redis-server: for tests of what Larder's own engine cannot do yet.
# Usage: redis_node.sh node.conf; leaves out the directives that only Larder knows.
grep -v -E '^(node-memory-bytes|engine|engine-version|allowed-sources|replication-sources|restricted-commands|save|memcached-[a-z]*) ' "$1" > redis.conf
# The service talks to the node through its Unix socket, and clients come from the loopback range.
printf 'protected-mode no\nsave ""\nrepl-diskless-sync-delay 0\ndaemonize no\n' >> redis.conf
exec "${REDIS_SERVER:-redis-server}" ./redis.conf
