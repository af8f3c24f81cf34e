#!/bin/sh
# Keeps the sign-ins of mcp-tether in the Secret Service (GNOME Keyring, KWallet), by secret-tool of libsecret.
# mcp-tether https://mcp.example.com/mcp --token-store 'command:/path/to/secret-tool.sh'
set -eu
key='' host='' secret=''
while IFS= read -r line && [ -n "$line" ]; do
  case $line in
    key=*) key=${line#key=} ;;
    host=*) host=${line#host=} ;;
    secret=*) secret=${line#secret=} ;;
  esac
done
export LC_ALL=C
lookup() { secret-tool lookup service mcp-tether key "$1"; }
put() { secret-tool store --label="mcp-tether $host" service mcp-tether key "$1"; }
remove() {
  if ! secret-tool clear service mcp-tether key "$1"; then
    # It also fails where there is no such item. Then a look-up fails without an error text.
    if text=$(lookup "$1" 2>&1); then return 1; fi
    [ -z "$text" ]
  fi
}
# secret-tool cuts what is longer than 8 KiB. The item of a longer document lists its parts, which are stored first.
remove_parts() {
  case $1 in
    'parts '*) for name in ${1#parts }; do remove "$name"; done ;;
  esac
}
case $1 in
  get)
    if ! item=$(lookup "$key" 2>&1); then
      # On failure it is the error; without one, nothing is stored.
      [ -n "$item" ] || exit 0
      printf '%s\n' "$item" >&2
      exit 1
    fi
    case $item in
      'parts '*) for name in ${item#parts }; do secret=$secret$(lookup "$name"); done ;;
      *) secret=$item ;;
    esac
    printf 'secret=%s\n' "$secret"
    ;;
  store)
    before=$(lookup "$key") || before=''
    item=$secret number=0
    if [ ${#secret} -gt 8000 ]; then
      item=parts
      while [ -n "$secret" ]; do
        name=$key.$(date +%s).$$.$number
        printf '%s' "$secret" | head -c 8000 | put "$name"
        secret=$(printf '%s' "$secret" | tail -c +8001)
        item="$item $name" number=$((number + 1))
      done
    fi
    printf '%s' "$item" | put "$key"
    remove_parts "$before"
    ;;
  erase)
    before=$(lookup "$key") || before=''
    remove "$key"
    remove_parts "$before"
    ;;
esac
