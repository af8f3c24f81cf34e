# Print an optspec for argparse to handle cmd's options that are independent of any subcommand.
function __fish_mcp_tether_global_optspecs
    string join \n header= header-file= env-file= header-from= access-token-command= access-header= access= no-access auth= auth-timeout= device-code client-credentials workload-identity= workload-audience= enterprise-idp= enterprise-client-info= enterprise-id-token= token-endpoint= oauth-issuer= oauth-metadata= profile= dpop= token-store= use-id-token static-oauth-client-info= static-oauth-client-metadata= client-metadata-url= resource= disable-resource-parameter authorize-param= host= callback-path= callback-bind= auth-success-url= allow-http ca-cert= pin= client-cert= client-key= proxy= enable-proxy ipv4 ipv6 transport= connect-timeout= headers-timeout= body-timeout= keep-alive ping-interval= no-listen protocol= no-cache disable-cookies ignore-tool= allow-tool= read-only v/verbose silent log-file= debug record= h/help V/version
end

function __fish_mcp_tether_needs_command
    # Figure out if the current invocation already has a command.
    set -l cmd (commandline -opc)
    set -e cmd[1]
    argparse -s (__fish_mcp_tether_global_optspecs) -- $cmd 2>/dev/null
    or return
    if set -q argv[1]
        # Also print the command, so this can be used to figure out what it is.
        echo $argv[1]
        return 1
    end
    return 0
end

function __fish_mcp_tether_using_subcommand
    set -l cmd (__fish_mcp_tether_needs_command)
    test -z "$cmd"
    and return 1
    contains -- $cmd[1] $argv
end

complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l header -d 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l header-file -d 'File with one "Name: value" a line. Repeatable' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l env-file -d 'File with one NAME=value a line, for variables that the environment does not set' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l header-from -d 'Header whose value a command prints, "Name: COMMAND". Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l access-token-command -d 'Command that prints a Cloudflare Access token' -r -f -a "(__fish_complete_command)"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l access-header -d 'Single header that carries the service token, such as Authorization' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l access -d 'Rule for the Cloudflare Access service token of the environment' -r -f -a "auto\t'To this computer, and to a host that refuses a request without it and proves that an Access application of the token\'s team protects it'
always\t'With every request to the server'
never\t'Same as --no-access'"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l auth -d 'Sign-in with a browser (OAuth)' -r -f -a "auto\t'When the server asks for it, unless a header already authenticates the client'
oauth\t'When the server asks for it, in place of such a header and of a service token that Access refuses'
none\t'Never'"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l auth-timeout -d 'Longest wait of a request for the sign-in, in seconds' -r
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l workload-identity -d 'Sign in with the token that the platform gives to this job' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l workload-audience -d 'Audience of the platform\'s token [default: the authorization server\'s issuer]' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l enterprise-idp -d 'Identity provider of your company, which signs you in for all servers' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l enterprise-client-info -d 'Client at --enterprise-idp: JSON, or @FILE' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l enterprise-id-token -d 'Where the ID token of --enterprise-idp comes from' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l token-endpoint -d 'Token endpoint for --client-credentials or --workload-identity' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l oauth-issuer -d 'The only authorization server to accept, by its issuer' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l oauth-metadata -d 'Metadata of the authorization server: a URL, or @FILE' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l profile -d 'Name of this sign-in, to keep several for one server' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l dpop -d 'When to bind tokens to a key of this computer (DPoP)' -r -f -a "auto\t'If both servers offer it'
always\t'With every sign-in; a token that is not bound is refused'
never\t'Never'"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l token-store -d 'Where to store tokens: file, keychain, or command:COMMAND' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l static-oauth-client-info -d 'Registered client: JSON, or @FILE' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l static-oauth-client-metadata -d 'Client metadata for the registration: JSON, or @FILE' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l client-metadata-url -d 'URL of the client\'s metadata document, which becomes the client id' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l resource -d 'Resource indicator of the server; "" for none' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l authorize-param -d 'Parameter of the authorization request. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l host -d 'Host of the OAuth redirect URI: localhost or 127.0.0.1' -r -f -a "(__fish_print_hostnames)"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l callback-path -d 'Path of the OAuth redirect URI [default: /oauth/callback]' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l callback-bind -d 'Address to listen on for the redirect [default: 127.0.0.1 and ::1]' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l auth-success-url -d 'Page to show after the sign-in' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l ca-cert -d 'File with further certificates to trust, in PEM form. Repeatable' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l pin -d 'SHA-256 fingerprint of the only certificate to accept. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l client-cert -d 'Client certificate (mutual TLS), in PEM form' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l client-key -d 'Private key of --client-cert, in PEM form' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l proxy -d 'Proxy to use, in place of the environment\'s' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l transport -d 'Transports to try, and their order' -r -f -a "http-first\t'Streamable HTTP, then HTTP+SSE (2024-11-05)'
sse-first\t'HTTP+SSE, then streamable HTTP'
http-only\t'Streamable HTTP alone'
sse-only\t'HTTP+SSE alone'"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l connect-timeout -d 'Time to connect, in seconds; 0 for no limit' -r
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l headers-timeout -d 'Time until a response begins, in seconds; 0 for no limit' -r
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l body-timeout -d 'Longest silence within a response, in seconds; 0 for no limit' -r
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l ping-interval -d 'Ping the server at this interval, in seconds' -r
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l protocol -d 'Era of MCP that the server speaks' -r -f -a "auto\t'Detect it, and remember the result'
legacy\t'initialize and sessions (up to 2025-11-25)'
modern\t'Stateless requests (from 2026-07-28)'"
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l ignore-tool -d 'Hide the tools that match; * matches anything. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l allow-tool -d 'Hide all tools except those that match. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l log-file -d 'File to log to, as much as -vv does' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l record -d 'File to record the conversation to, for bug reports' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l no-access -d 'Send no Cloudflare Access service token'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l device-code -d 'Sign in with a code, on any computer'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l client-credentials -d 'Sign in without a user, as the client of --static-oauth-client-info'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l use-id-token -d 'Send the ID token in place of the access token'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l disable-resource-parameter -d 'Send no resource indicator'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l allow-http -d 'Accept an http:// URL of another computer'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l enable-proxy -d 'Accepted for compatibility with mcp-remote'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l ipv4 -d 'Use IPv4 addresses only'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l ipv6 -d 'Use IPv6 addresses only'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l keep-alive -d 'Ping the server every 30 seconds'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l no-listen -d 'Do not open the stream for server messages (GET)'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l no-cache -d 'Keep nothing about the server from one start to the next'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l disable-cookies -d 'Ignore the server\'s cookies'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l read-only -d 'Hide all tools that are not annotated as read-only'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -s v -l verbose -d 'Log to stderr: -v, -vv, -vvv'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l silent -d 'Log nothing to stderr'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -l debug -d 'Same as -vv, with a log file'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "run" -d 'Connect an MCP client with the server over stdio (default)'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "check" -d 'Diagnose the connection step by step'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "login" -d 'Sign in now, or as another user'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "logout" -d 'Sign out, and delete the stored tokens'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "tokens" -d 'Show the stored sign-ins, without secrets'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "config" -d 'Print the entry of a client\'s configuration, or replace mcp-remote in one'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "access" -d 'Manage Cloudflare Access: setup, status, rotate, renew, revoke, link'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "add" -d 'Add a server to a client\'s configuration'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "remove" -d 'Remove a server from a client\'s configuration'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "migrate" -d 'Replace mcp-remote and other proxies in the configuration of all clients'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "install" -d 'Copy this program to your folder for programs'
complete -c mcp-tether -n "__fish_mcp_tether_needs_command" -a "completions" -d 'Print completions for a shell'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand run" -s h -l help -d 'Print help'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand run" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l header -d 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l auth -d 'Sign-in with a browser (OAuth)' -r -f -a "auto\t'When the server asks for it, unless a header already authenticates the client'
oauth\t'When the server asks for it, in place of such a header and of a service token that Access refuses'
none\t'Never'"
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l ca-cert -d 'File with further certificates to trust, in PEM form. Repeatable' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l proxy -d 'Proxy to use, in place of the environment\'s' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l no-access -d 'Send no Cloudflare Access service token'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l allow-http -d 'Accept an http:// URL of another computer'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -l json -d 'Print the findings as JSON'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand check" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -l header -d 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -l oauth-issuer -d 'The only authorization server to accept, by its issuer' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -l profile -d 'Name of this sign-in, to keep several for one server' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -l device-code -d 'Sign in with a code, on any computer'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -l paste -d 'Paste the address that the browser ends at'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand login" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -l header -d 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -l profile -d 'Name of this sign-in, to keep several for one server' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -l resource -d 'Resource indicator of the server; "" for none' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -l all -d 'Sign out of all profiles of the server; without a URL, of every server'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -l yes -d 'Do not ask'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand logout" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand tokens" -l header -d 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand tokens" -l profile -d 'Name of this sign-in, to keep several for one server' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand tokens" -l resource -d 'Resource indicator of the server; "" for none' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand tokens" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand tokens" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -l client -d 'Client to print the entry for' -r -f -a "claude-code\t''
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
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -l from -d 'Configuration file whose mcp-remote entries to replace' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -s e -l env -d 'Environment variable that the server gets. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -l json -d 'Print the JSON entry only (Claude Code)'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand config" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand access" -s h -l help -d 'Print help'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand access" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -l client -d 'Client to add the entry to' -r -f -a "claude-code\t''
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
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -l file -d 'Configuration file to change' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -s e -l env -d 'Environment variable that the server gets. Repeatable' -r -f
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -l replace -d 'Replace an entry of the same name'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -l yes -d 'Write without asking'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand add" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand remove" -l client -d 'Client to remove the entry from' -r -f -a "claude-code\t''
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
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand remove" -l file -d 'Configuration file to change' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand remove" -l yes -d 'Write without asking'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand remove" -s h -l help -d 'Print help'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand remove" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l from -d 'Configuration file to migrate, instead of those of all clients' -r -F
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l client -d 'Client that the file of --from belongs to' -r -f -a "claude-code\t''
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
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l secrets -d 'Where secrets in clear text go' -r -f -a "keep\t'They stay where they are'
env-file\t'Into a file that its owner alone can read'
input\t'The client asks for them and stores them (VS Code)'"
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l check -d 'Try each replacement with `check` first'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l undo -d 'Put back the entries that an earlier `migrate` replaced'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -l yes -d 'Replace every entry whose replacement is certain, without asking'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand migrate" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand install" -l yes -d 'Replace a program that is there without asking'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand install" -s h -l help -d 'Print help'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand install" -s V -l version -d 'Print version'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand completions" -s h -l help -d 'Print help (see more with \'--help\')'
complete -c mcp-tether -n "__fish_mcp_tether_using_subcommand completions" -s V -l version -d 'Print version'
