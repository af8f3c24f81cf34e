complete -c mcp-tether -l header -d 'A header, "Name: value"; ${VAR} is filled in. Repeatable' -r
complete -c mcp-tether -l header-file -d 'A file with one "Name: value" a line. Repeatable' -r -F
complete -c mcp-tether -l env-file -d 'A file with one NAME=value a line, whose variables count where the environment has none; read again when a credential is refused. Repeatable, the last one counts' -r -F
complete -c mcp-tether -l header-from -d 'A header whose value a command prints, "Name: COMMAND"; run without a shell, for 20 seconds at most, and again before a token in it expires and when it is refused. Repeatable; wins over --header' -r
complete -c mcp-tether -l access-token-command -d 'A command that prints a token for Cloudflare Access, sent as Cf-Access-Token: "cloudflared access token --app=URL"; run again before it expires and when it is refused' -r
complete -c mcp-tether -l access-header -d 'Send the service token in this one header and not in its own two, for applications that read tokens from one (Authorization)' -r
complete -c mcp-tether -l access -d 'When to send the Cloudflare Access service token found in the environment (CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET; those of the same names with _NEXT take over when it is refused) where CF_ACCESS_HOSTS, the list of its hosts, is not set: auto sends it to this computer, and to a host that refuses a request without it and proves that an Access application of the token\'s team protects it; always sends it to the server with every request; never is --no-access' -r -f -a "auto\t''
always\t''
never\t''"
complete -c mcp-tether -l auth -d 'Sign in with a browser: auto, oauth (in any case) or none [default: auto]' -r -f -a "auto\t''
oauth\t''
none\t''"
complete -c mcp-tether -l auth-timeout -d 'How long a request waits for you to sign in, in seconds, before it is answered with the page\'s address; the sign-in goes on after that [default: 45, initialize 25]' -r
complete -c mcp-tether -l token-endpoint -d 'With --client-credentials: where tokens are had, in place of what the server says' -r
complete -c mcp-tether -l oauth-issuer -d 'The authorization server that is accepted, by the name it has for itself (its issuer); any other is refused before a page opens or a token is asked for. It is accepted also where the server leads to it by another name, or where a client of yours was first used with another one' -r
complete -c mcp-tether -l oauth-metadata -d 'The metadata of the authorization server, by its address or as @FILE, in place of what the server leads to: for those that publish none, or a wrong one' -r
complete -c mcp-tether -l profile -d 'A name for this sign-in, to have several for one server: up to 64 letters, digits, dots, hyphens and underscores. It takes the place of headers that hold a secret, by which sign-ins are told apart otherwise' -r
complete -c mcp-tether -l static-oauth-client-info -d 'The client that is registered for you: JSON, or @FILE, with client_id and perhaps client_secret, or private_key (PEM, or @FILE; with kid where it has a name); ${VAR} is filled in' -r
complete -c mcp-tether -l static-oauth-client-metadata -d 'What is to stand in the registration of a client, in place of what is there by default: JSON, or @FILE. Its scope is asked for' -r
complete -c mcp-tether -l client-metadata-url -d 'Where a description of the client is, for authorization servers that take its address for a name' -r
complete -c mcp-tether -l resource -d 'What the server is called at the authorization server, in place of what it calls itself; "" for not at all' -r
complete -c mcp-tether -l authorize-param -d 'Something more in the address of the page, NAME=VALUE, or in place of the scope or resource there. Repeatable' -r
complete -c mcp-tether -l host -d 'How this computer is called in the address that you come back to: localhost or 127.0.0.1. By default whichever is allowed; localhost with a client that is registered for you' -r
complete -c mcp-tether -l callback-path -d 'The path of that address [default: /oauth/callback]' -r
complete -c mcp-tether -l callback-bind -d 'The address to listen at for that, in a container for example 0.0.0.0; the port behind the URL has to be published. What you come back to stays a name of this computer [default: 127.0.0.1 and ::1]' -r
complete -c mcp-tether -l auth-success-url -d 'Where to go on to when you have signed in' -r
complete -c mcp-tether -l ca-cert -d 'A file with further certificates to trust, of authorities or of the server itself, in PEM form, beside the operating system\'s and those of NODE_EXTRA_CA_CERTS. Repeatable' -r -F
complete -c mcp-tether -l pin -d 'The SHA-256 fingerprint of the one certificate that the server may show, whoever issued it; its names and dates are checked as ever. Repeatable, for a certificate that is about to be renewed' -r
complete -c mcp-tether -l client-cert -d 'Your certificate, where the server wants one (mutual TLS), in PEM form' -r -F
complete -c mcp-tether -l client-key -d 'The private key of --client-cert, in PEM form' -r -F
complete -c mcp-tether -l proxy -d 'The proxy to use, in place of those of the environment' -r
complete -c mcp-tether -l transport -d 'http-first, sse-first, http-only or sse-only' -r -f -a "http-first\t'Streamable HTTP, then HTTP+SSE'
sse-first\t'HTTP+SSE, then streamable HTTP'
http-only\t'Streamable HTTP alone'
sse-only\t'HTTP+SSE alone'"
complete -c mcp-tether -l connect-timeout -d 'How long making a connection may take, in seconds; 0: as long as the system lets it' -r
complete -c mcp-tether -l headers-timeout -d 'How long the server may take to begin an answer, in seconds; 0: as long as it likes, for a tool may be slow, and a connection that is dead shows by itself' -r
complete -c mcp-tether -l body-timeout -d 'How long the server may be silent in the middle of an answer, in seconds; 0: as long as it likes' -r
complete -c mcp-tether -l ping-interval -d 'Like --keep-alive, every so many seconds' -r
complete -c mcp-tether -l protocol -d 'The server\'s era: auto, legacy or modern [default: auto]' -r -f -a "auto\t''
legacy\t''
modern\t''"
complete -c mcp-tether -l ignore-tool -d 'Leave out the tools whose name fits; * is anything. Repeatable' -r
complete -c mcp-tether -l allow-tool -d 'Leave out all tools but those whose name fits. Repeatable' -r
complete -c mcp-tether -l log-file -d 'Write what -vv tells into a file, whatever stderr shows; with -vvv what that tells. Readable for its owner alone; at 10 MiB it becomes PATH.1 and a new one begins. Several processes may share it' -r -F
complete -c mcp-tether -l record -d 'Write the conversation into a file that shows what mcp-tether did and why, and can be replayed: for bug reports. Secrets are masked; what is said is not. Up to 64 MiB; what was there becomes PATH.1' -r -F
complete -c mcp-tether -l client -d 'With config: whose entry' -r -f -a "claude-code\t''
claude-desktop\t''
cursor\t''
vscode\t''
windsurf\t''
codex\t''
gemini\t''
zed\t''
opencode\t''
lm-studio\t''
goose\t''
cline\t''
copilot-cli\t''"
complete -c mcp-tether -l from -d 'With config: a client\'s configuration, whose mcp-remote is to be replaced' -r -F
complete -c mcp-tether -s e -l env -d 'With config: a variable that the server is to have. Repeatable' -r
complete -c mcp-tether -l no-access -d 'Do not send the service token of CF_ACCESS_CLIENT_ID and _SECRET'
complete -c mcp-tether -l device-code -d 'Sign in with a code, on any computer: address and code are written to stderr, and nothing is opened here'
complete -c mcp-tether -l client-credentials -d 'Nobody signs in: the client of --static-oauth-client-info itself does, with its client_secret or private_key'
complete -c mcp-tether -l use-id-token -d 'Send the ID token in place of the access token, where there is one (it takes the scope openid)'
complete -c mcp-tether -l disable-resource-parameter -d 'Do not name the server at the authorization server'
complete -c mcp-tether -l paste -d 'With login, where no browser can come back to this computer: sign in with one elsewhere, then paste the address that it ended at, which need not load'
complete -c mcp-tether -l allow-http -d 'Accept an http:// URL that is not on this machine'
complete -c mcp-tether -l enable-proxy -d 'Nothing: proxies of the environment are always used. For those who come from mcp-remote'
complete -c mcp-tether -l ipv4 -d 'Use IPv4 addresses only'
complete -c mcp-tether -l ipv6 -d 'Use IPv6 addresses only'
complete -c mcp-tether -l keep-alive -d 'Ask the server for a sign of life every 30 seconds, with pings of our own; three in a row without an answer renew the session'
complete -c mcp-tether -l no-listen -d 'Do not open the stream on which a server says something by itself (GET), for servers that answer nothing while it is open'
complete -c mcp-tether -l no-cache -d 'Remember nothing about the server from one start to the next'
complete -c mcp-tether -l disable-cookies -d 'Forget the server\'s cookies, by which load balancers know whom to send where'
complete -c mcp-tether -l read-only -d 'Leave out all tools but those that say readOnlyHint: true'
complete -c mcp-tether -l json -d 'With check: tell what was found as JSON'
complete -c mcp-tether -s v -l verbose -d 'Tell on stderr what passes: -v, -vv, -vvv'
complete -c mcp-tether -l silent -d 'Tell nothing on stderr'
complete -c mcp-tether -l debug -d '-vv, and the same in a log file: that of --log-file, else HOST_debug.log in ~/.mcp-auth/mcp-tether (MCP_REMOTE_CONFIG_DIR takes the place of ~/.mcp-auth). With --silent the file alone'
complete -c mcp-tether -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -s V -l version -d 'Print version'
complete -c mcp-tether -n __fish_use_subcommand -f -a "check config login logout tokens"
