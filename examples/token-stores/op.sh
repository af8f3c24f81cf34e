#!/bin/sh
# Keeps the sign-ins of mcp-tether in 1Password, as documents of the vault in MCP_TETHER_OP_VAULT.
# mcp-tether https://mcp.example.com/mcp --token-store 'command:/path/to/op.sh'
set -eu
key='' host='' secret=''
while IFS= read -r line && [ -n "$line" ]; do
  case $line in
    key=*) key=${line#key=} ;;
    host=*) host=${line#host=} ;;
    secret=*) secret=${line#secret=} ;;
  esac
done
vault=${MCP_TETHER_OP_VAULT:-Private}
title="mcp-tether $key"
# Fails where 1Password is locked, which is not the same as an empty vault.
documents=$(op document list --vault "$vault" --format json)
case $documents in
  *"\"$title\""*) is_stored=1 ;;
  *) is_stored='' ;;
esac
case $1 in
  get)
    [ -n "$is_stored" ] || exit 0
    secret=$(op document get "$title" --vault "$vault")
    printf 'secret=%s\n' "$secret"
    ;;
  store)
    if [ -n "$is_stored" ]; then
      printf '%s' "$secret" | op document edit "$title" - --vault "$vault" > /dev/null
    else
      printf '%s' "$secret" | op document create - --title "$title" --file-name "$host.json" --vault "$vault" > /dev/null
    fi
    ;;
  erase) [ -z "$is_stored" ] || op document delete "$title" --vault "$vault" > /dev/null ;;
esac
