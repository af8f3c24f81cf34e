#!/bin/sh
# Keeps the sign-ins of mcp-tether in pass (gpg).
# mcp-tether https://mcp.example.com/mcp --token-store 'command:/path/to/pass.sh'
set -eu
key='' host='' secret=''
while IFS= read -r line && [ -n "$line" ]; do
  case $line in
    key=*) key=${line#key=} ;;
    host=*) host=${line#host=} ;;
    secret=*) secret=${line#secret=} ;;
  esac
done
: "$host"
entry=mcp-tether/$key
file=${PASSWORD_STORE_DIR:-$HOME/.password-store}/$entry.gpg
case $1 in
  get)
    [ -f "$file" ] || exit 0
    secret=$(pass show "$entry")
    printf 'secret=%s\n' "$secret"
    ;;
  store) printf '%s\n' "$secret" | pass insert --multiline --force "$entry" > /dev/null ;;
  erase) [ ! -f "$file" ] || pass rm --force "$entry" > /dev/null ;;
esac
