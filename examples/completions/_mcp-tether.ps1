
using namespace System.Management.Automation
using namespace System.Management.Automation.Language

Register-ArgumentCompleter -Native -CommandName 'mcp-tether' -ScriptBlock {
    param($wordToComplete, $commandAst, $cursorPosition)

    $commandElements = $commandAst.CommandElements
    $command = @(
        'mcp-tether'
        for ($i = 1; $i -lt $commandElements.Count; $i++) {
            $element = $commandElements[$i]
            if ($element -isnot [StringConstantExpressionAst] -or
                $element.StringConstantType -ne [StringConstantType]::BareWord -or
                $element.Value.StartsWith('-') -or
                $element.Value -eq $wordToComplete) {
                break
        }
        $element.Value
    }) -join ';'

    $before = $commandElements[$commandElements.Count - 1 - [int]($wordToComplete -ne '')]
    if ("$before" -eq '--client') {
        return @('claude-code', 'claude-desktop', 'cursor', 'vscode', 'windsurf', 'codex', 'gemini', 'zed', 'opencode', 'lm-studio', 'goose', 'cline', 'copilot-cli').Where{ $_ -like "$wordToComplete*" }
    }
    $completions = @(switch -Wildcard ($command) {
        'mcp-tether*' {
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'check')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'config')
            [CompletionResult]::new('login', 'login', [CompletionResultType]::ParameterValue, 'login')
            [CompletionResult]::new('logout', 'logout', [CompletionResultType]::ParameterValue, 'logout')
            [CompletionResult]::new('tokens', 'tokens', [CompletionResultType]::ParameterValue, 'tokens')
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'A header, "Name: value"; ${VAR} is filled in. Repeatable')
            [CompletionResult]::new('--header-file', '--header-file', [CompletionResultType]::ParameterName, 'A file with one "Name: value" a line. Repeatable')
            [CompletionResult]::new('--env-file', '--env-file', [CompletionResultType]::ParameterName, 'A file with one NAME=value a line, whose variables count where the environment has none; read again when a credential is refused. Repeatable, the last one counts')
            [CompletionResult]::new('--header-from', '--header-from', [CompletionResultType]::ParameterName, 'A header whose value a command prints, "Name: COMMAND"; run without a shell, for 20 seconds at most, and again before a token in it expires and when it is refused. Repeatable; wins over --header')
            [CompletionResult]::new('--access-token-command', '--access-token-command', [CompletionResultType]::ParameterName, 'A command that prints a token for Cloudflare Access, sent as Cf-Access-Token: "cloudflared access token --app=URL"; run again before it expires and when it is refused')
            [CompletionResult]::new('--access-header', '--access-header', [CompletionResultType]::ParameterName, 'Send the service token in this one header and not in its own two, for applications that read tokens from one (Authorization)')
            [CompletionResult]::new('--access', '--access', [CompletionResultType]::ParameterName, 'When to send the Cloudflare Access service token found in the environment (CF_ACCESS_CLIENT_ID and CF_ACCESS_CLIENT_SECRET; those of the same names with _NEXT take over when it is refused) where CF_ACCESS_HOSTS, the list of its hosts, is not set: auto sends it to this computer, and to a host that refuses a request without it and proves that an Access application of the token''s team protects it; always sends it to the server with every request; never is --no-access')
            [CompletionResult]::new('--auth', '--auth', [CompletionResultType]::ParameterName, 'Sign in with a browser: auto, oauth (in any case) or none [default: auto]')
            [CompletionResult]::new('--auth-timeout', '--auth-timeout', [CompletionResultType]::ParameterName, 'How long a request waits for you to sign in, in seconds, before it is answered with the page''s address; the sign-in goes on after that [default: 45, initialize 25]')
            [CompletionResult]::new('--token-endpoint', '--token-endpoint', [CompletionResultType]::ParameterName, 'With --client-credentials: where tokens are had, in place of what the server says')
            [CompletionResult]::new('--oauth-issuer', '--oauth-issuer', [CompletionResultType]::ParameterName, 'The authorization server that is accepted, by the name it has for itself (its issuer); any other is refused before a page opens or a token is asked for. It is accepted also where the server leads to it by another name, or where a client of yours was first used with another one')
            [CompletionResult]::new('--oauth-metadata', '--oauth-metadata', [CompletionResultType]::ParameterName, 'The metadata of the authorization server, by its address or as @FILE, in place of what the server leads to: for those that publish none, or a wrong one')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'A name for this sign-in, to have several for one server: up to 64 letters, digits, dots, hyphens and underscores. It takes the place of headers that hold a secret, by which sign-ins are told apart otherwise')
            [CompletionResult]::new('--static-oauth-client-info', '--static-oauth-client-info', [CompletionResultType]::ParameterName, 'The client that is registered for you: JSON, or @FILE, with client_id and perhaps client_secret, or private_key (PEM, or @FILE; with kid where it has a name); ${VAR} is filled in')
            [CompletionResult]::new('--static-oauth-client-metadata', '--static-oauth-client-metadata', [CompletionResultType]::ParameterName, 'What is to stand in the registration of a client, in place of what is there by default: JSON, or @FILE. Its scope is asked for')
            [CompletionResult]::new('--client-metadata-url', '--client-metadata-url', [CompletionResultType]::ParameterName, 'Where a description of the client is, for authorization servers that take its address for a name')
            [CompletionResult]::new('--resource', '--resource', [CompletionResultType]::ParameterName, 'What the server is called at the authorization server, in place of what it calls itself; "" for not at all')
            [CompletionResult]::new('--authorize-param', '--authorize-param', [CompletionResultType]::ParameterName, 'Something more in the address of the page, NAME=VALUE, or in place of the scope or resource there. Repeatable')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'How this computer is called in the address that you come back to: localhost or 127.0.0.1. By default whichever is allowed; localhost with a client that is registered for you')
            [CompletionResult]::new('--callback-path', '--callback-path', [CompletionResultType]::ParameterName, 'The path of that address [default: /oauth/callback]')
            [CompletionResult]::new('--callback-bind', '--callback-bind', [CompletionResultType]::ParameterName, 'The address to listen at for that, in a container for example 0.0.0.0; the port behind the URL has to be published. What you come back to stays a name of this computer [default: 127.0.0.1 and ::1]')
            [CompletionResult]::new('--auth-success-url', '--auth-success-url', [CompletionResultType]::ParameterName, 'Where to go on to when you have signed in')
            [CompletionResult]::new('--ca-cert', '--ca-cert', [CompletionResultType]::ParameterName, 'A file with further certificates to trust, of authorities or of the server itself, in PEM form, beside the operating system''s and those of NODE_EXTRA_CA_CERTS. Repeatable')
            [CompletionResult]::new('--pin', '--pin', [CompletionResultType]::ParameterName, 'The SHA-256 fingerprint of the one certificate that the server may show, whoever issued it; its names and dates are checked as ever. Repeatable, for a certificate that is about to be renewed')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Your certificate, where the server wants one (mutual TLS), in PEM form')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'The private key of --client-cert, in PEM form')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'The proxy to use, in place of those of the environment')
            [CompletionResult]::new('--transport', '--transport', [CompletionResultType]::ParameterName, 'http-first, sse-first, http-only or sse-only')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'How long making a connection may take, in seconds; 0: as long as the system lets it')
            [CompletionResult]::new('--headers-timeout', '--headers-timeout', [CompletionResultType]::ParameterName, 'How long the server may take to begin an answer, in seconds; 0: as long as it likes, for a tool may be slow, and a connection that is dead shows by itself')
            [CompletionResult]::new('--body-timeout', '--body-timeout', [CompletionResultType]::ParameterName, 'How long the server may be silent in the middle of an answer, in seconds; 0: as long as it likes')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Like --keep-alive, every so many seconds')
            [CompletionResult]::new('--protocol', '--protocol', [CompletionResultType]::ParameterName, 'The server''s era: auto, legacy or modern [default: auto]')
            [CompletionResult]::new('--ignore-tool', '--ignore-tool', [CompletionResultType]::ParameterName, 'Leave out the tools whose name fits; * is anything. Repeatable')
            [CompletionResult]::new('--allow-tool', '--allow-tool', [CompletionResultType]::ParameterName, 'Leave out all tools but those whose name fits. Repeatable')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'Write what -vv tells into a file, whatever stderr shows; with -vvv what that tells. Readable for its owner alone; at 10 MiB it becomes PATH.1 and a new one begins. Several processes may share it')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'Write the conversation into a file that shows what mcp-tether did and why, and can be replayed: for bug reports. Secrets are masked; what is said is not. Up to 64 MiB; what was there becomes PATH.1')
            [CompletionResult]::new('--client', '--client', [CompletionResultType]::ParameterName, 'With config: whose entry')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'With config: a client''s configuration, whose mcp-remote is to be replaced')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'With config: a variable that the server is to have. Repeatable')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'With config: a variable that the server is to have. Repeatable')
            [CompletionResult]::new('--no-access', '--no-access', [CompletionResultType]::ParameterName, 'Do not send the service token of CF_ACCESS_CLIENT_ID and _SECRET')
            [CompletionResult]::new('--device-code', '--device-code', [CompletionResultType]::ParameterName, 'Sign in with a code, on any computer: address and code are written to stderr, and nothing is opened here')
            [CompletionResult]::new('--client-credentials', '--client-credentials', [CompletionResultType]::ParameterName, 'Nobody signs in: the client of --static-oauth-client-info itself does, with its client_secret or private_key')
            [CompletionResult]::new('--use-id-token', '--use-id-token', [CompletionResultType]::ParameterName, 'Send the ID token in place of the access token, where there is one (it takes the scope openid)')
            [CompletionResult]::new('--disable-resource-parameter', '--disable-resource-parameter', [CompletionResultType]::ParameterName, 'Do not name the server at the authorization server')
            [CompletionResult]::new('--paste', '--paste', [CompletionResultType]::ParameterName, 'With login, where no browser can come back to this computer: sign in with one elsewhere, then paste the address that it ended at, which need not load')
            [CompletionResult]::new('--allow-http', '--allow-http', [CompletionResultType]::ParameterName, 'Accept an http:// URL that is not on this machine')
            [CompletionResult]::new('--enable-proxy', '--enable-proxy', [CompletionResultType]::ParameterName, 'Nothing: proxies of the environment are always used. For those who come from mcp-remote')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Use IPv4 addresses only')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Use IPv6 addresses only')
            [CompletionResult]::new('--keep-alive', '--keep-alive', [CompletionResultType]::ParameterName, 'Ask the server for a sign of life every 30 seconds, with pings of our own; three in a row without an answer renew the session')
            [CompletionResult]::new('--no-listen', '--no-listen', [CompletionResultType]::ParameterName, 'Do not open the stream on which a server says something by itself (GET), for servers that answer nothing while it is open')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Remember nothing about the server from one start to the next')
            [CompletionResult]::new('--disable-cookies', '--disable-cookies', [CompletionResultType]::ParameterName, 'Forget the server''s cookies, by which load balancers know whom to send where')
            [CompletionResult]::new('--read-only', '--read-only', [CompletionResultType]::ParameterName, 'Leave out all tools but those that say readOnlyHint: true')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'With check: tell what was found as JSON')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Tell on stderr what passes: -v, -vv, -vvv')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Tell on stderr what passes: -v, -vv, -vvv')
            [CompletionResult]::new('--silent', '--silent', [CompletionResultType]::ParameterName, 'Tell nothing on stderr')
            [CompletionResult]::new('--debug', '--debug', [CompletionResultType]::ParameterName, '-vv, and the same in a log file: that of --log-file, else HOST_debug.log in ~/.mcp-auth/mcp-tether (MCP_REMOTE_CONFIG_DIR takes the place of ~/.mcp-auth). With --silent the file alone')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
    })

    $completions.Where{ $_.CompletionText -like "$wordToComplete*" } |
        Sort-Object -Property ListItemText
}
