#!/bin/sh
# Keeps the sign-ins of mcp-tether in HashiCorp Vault, in the key-value store (version 2) of MCP_TETHER_VAULT_MOUNT.
# mcp-tether https://mcp.example.com/mcp --token-store 'command:/path/to/vault.sh'
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
mount=${MCP_TETHER_VAULT_MOUNT:-secret}
path=mcp-tether/$key
case $1 in
  get)
    if secret=$(vault kv get -mount="$mount" -field=document "$path" 2>&1); then
      printf 'secret=%s\n' "$secret"
      exit 0
    fi
    # On failure it is the error.
    case $secret in
      *"No value found"*) ;;
      *)
        printf '%s\n' "$secret" >&2
        exit 1
        ;;
    esac
    ;;
  store) printf '%s' "$secret" | vault kv put -mount="$mount" "$path" document=- > /dev/null ;;
  erase) vault kv metadata delete -mount="$mount" "$path" > /dev/null ;;
esac
