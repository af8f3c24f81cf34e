
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

    $completions = @(switch ($command) {
        'mcp-tether' {
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable')
            [CompletionResult]::new('--header-file', '--header-file', [CompletionResultType]::ParameterName, 'File with one "Name: value" a line. Repeatable')
            [CompletionResult]::new('--env-file', '--env-file', [CompletionResultType]::ParameterName, 'File with one NAME=value a line, for variables that the environment does not set')
            [CompletionResult]::new('--header-from', '--header-from', [CompletionResultType]::ParameterName, 'Header whose value a command prints, "Name: COMMAND". Repeatable')
            [CompletionResult]::new('--access-token-command', '--access-token-command', [CompletionResultType]::ParameterName, 'Command that prints a Cloudflare Access token')
            [CompletionResult]::new('--access-header', '--access-header', [CompletionResultType]::ParameterName, 'Single header that carries the service token, such as Authorization')
            [CompletionResult]::new('--access', '--access', [CompletionResultType]::ParameterName, 'Rule for the Cloudflare Access service token of the environment')
            [CompletionResult]::new('--auth', '--auth', [CompletionResultType]::ParameterName, 'Sign-in with a browser (OAuth)')
            [CompletionResult]::new('--auth-timeout', '--auth-timeout', [CompletionResultType]::ParameterName, 'Longest wait of a request for the sign-in, in seconds')
            [CompletionResult]::new('--workload-identity', '--workload-identity', [CompletionResultType]::ParameterName, 'Sign in with the token that the platform gives to this job')
            [CompletionResult]::new('--workload-audience', '--workload-audience', [CompletionResultType]::ParameterName, 'Audience of the platform''s token [default: the authorization server''s issuer]')
            [CompletionResult]::new('--enterprise-idp', '--enterprise-idp', [CompletionResultType]::ParameterName, 'Identity provider of your company, which signs you in for all servers')
            [CompletionResult]::new('--enterprise-client-info', '--enterprise-client-info', [CompletionResultType]::ParameterName, 'Client at --enterprise-idp: JSON, or @FILE')
            [CompletionResult]::new('--enterprise-id-token', '--enterprise-id-token', [CompletionResultType]::ParameterName, 'Where the ID token of --enterprise-idp comes from')
            [CompletionResult]::new('--token-endpoint', '--token-endpoint', [CompletionResultType]::ParameterName, 'Token endpoint for --client-credentials or --workload-identity')
            [CompletionResult]::new('--oauth-issuer', '--oauth-issuer', [CompletionResultType]::ParameterName, 'The only authorization server to accept, by its issuer')
            [CompletionResult]::new('--oauth-metadata', '--oauth-metadata', [CompletionResultType]::ParameterName, 'Metadata of the authorization server: a URL, or @FILE')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Name of this sign-in, to keep several for one server')
            [CompletionResult]::new('--dpop', '--dpop', [CompletionResultType]::ParameterName, 'When to bind tokens to a key of this computer (DPoP)')
            [CompletionResult]::new('--token-store', '--token-store', [CompletionResultType]::ParameterName, 'Where to store tokens: file, keychain, or command:COMMAND')
            [CompletionResult]::new('--static-oauth-client-info', '--static-oauth-client-info', [CompletionResultType]::ParameterName, 'Registered client: JSON, or @FILE')
            [CompletionResult]::new('--static-oauth-client-metadata', '--static-oauth-client-metadata', [CompletionResultType]::ParameterName, 'Client metadata for the registration: JSON, or @FILE')
            [CompletionResult]::new('--client-metadata-url', '--client-metadata-url', [CompletionResultType]::ParameterName, 'URL of the client''s metadata document, which becomes the client id')
            [CompletionResult]::new('--resource', '--resource', [CompletionResultType]::ParameterName, 'Resource indicator of the server; "" for none')
            [CompletionResult]::new('--authorize-param', '--authorize-param', [CompletionResultType]::ParameterName, 'Parameter of the authorization request. Repeatable')
            [CompletionResult]::new('--host', '--host', [CompletionResultType]::ParameterName, 'Host of the OAuth redirect URI: localhost or 127.0.0.1')
            [CompletionResult]::new('--callback-path', '--callback-path', [CompletionResultType]::ParameterName, 'Path of the OAuth redirect URI [default: /oauth/callback]')
            [CompletionResult]::new('--callback-bind', '--callback-bind', [CompletionResultType]::ParameterName, 'Address to listen on for the redirect [default: 127.0.0.1 and ::1]')
            [CompletionResult]::new('--auth-success-url', '--auth-success-url', [CompletionResultType]::ParameterName, 'Page to show after the sign-in')
            [CompletionResult]::new('--ca-cert', '--ca-cert', [CompletionResultType]::ParameterName, 'File with further certificates to trust, in PEM form. Repeatable')
            [CompletionResult]::new('--pin', '--pin', [CompletionResultType]::ParameterName, 'SHA-256 fingerprint of the only certificate to accept. Repeatable')
            [CompletionResult]::new('--client-cert', '--client-cert', [CompletionResultType]::ParameterName, 'Client certificate (mutual TLS), in PEM form')
            [CompletionResult]::new('--client-key', '--client-key', [CompletionResultType]::ParameterName, 'Private key of --client-cert, in PEM form')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'Proxy to use, in place of the environment''s')
            [CompletionResult]::new('--transport', '--transport', [CompletionResultType]::ParameterName, 'Transports to try, and their order')
            [CompletionResult]::new('--connect-timeout', '--connect-timeout', [CompletionResultType]::ParameterName, 'Time to connect, in seconds; 0 for no limit')
            [CompletionResult]::new('--headers-timeout', '--headers-timeout', [CompletionResultType]::ParameterName, 'Time until a response begins, in seconds; 0 for no limit')
            [CompletionResult]::new('--body-timeout', '--body-timeout', [CompletionResultType]::ParameterName, 'Longest silence within a response, in seconds; 0 for no limit')
            [CompletionResult]::new('--ping-interval', '--ping-interval', [CompletionResultType]::ParameterName, 'Ping the server at this interval, in seconds')
            [CompletionResult]::new('--protocol', '--protocol', [CompletionResultType]::ParameterName, 'Era of MCP that the server speaks')
            [CompletionResult]::new('--ignore-tool', '--ignore-tool', [CompletionResultType]::ParameterName, 'Hide the tools that match; * matches anything. Repeatable')
            [CompletionResult]::new('--allow-tool', '--allow-tool', [CompletionResultType]::ParameterName, 'Hide all tools except those that match. Repeatable')
            [CompletionResult]::new('--log-file', '--log-file', [CompletionResultType]::ParameterName, 'File to log to, as much as -vv does')
            [CompletionResult]::new('--record', '--record', [CompletionResultType]::ParameterName, 'File to record the conversation to, for bug reports')
            [CompletionResult]::new('--no-access', '--no-access', [CompletionResultType]::ParameterName, 'Send no Cloudflare Access service token')
            [CompletionResult]::new('--device-code', '--device-code', [CompletionResultType]::ParameterName, 'Sign in with a code, on any computer')
            [CompletionResult]::new('--client-credentials', '--client-credentials', [CompletionResultType]::ParameterName, 'Sign in without a user, as the client of --static-oauth-client-info')
            [CompletionResult]::new('--use-id-token', '--use-id-token', [CompletionResultType]::ParameterName, 'Send the ID token in place of the access token')
            [CompletionResult]::new('--disable-resource-parameter', '--disable-resource-parameter', [CompletionResultType]::ParameterName, 'Send no resource indicator')
            [CompletionResult]::new('--allow-http', '--allow-http', [CompletionResultType]::ParameterName, 'Accept an http:// URL of another computer')
            [CompletionResult]::new('--enable-proxy', '--enable-proxy', [CompletionResultType]::ParameterName, 'Accepted for compatibility with mcp-remote')
            [CompletionResult]::new('--ipv4', '--ipv4', [CompletionResultType]::ParameterName, 'Use IPv4 addresses only')
            [CompletionResult]::new('--ipv6', '--ipv6', [CompletionResultType]::ParameterName, 'Use IPv6 addresses only')
            [CompletionResult]::new('--keep-alive', '--keep-alive', [CompletionResultType]::ParameterName, 'Ping the server every 30 seconds')
            [CompletionResult]::new('--no-listen', '--no-listen', [CompletionResultType]::ParameterName, 'Do not open the stream for server messages (GET)')
            [CompletionResult]::new('--no-cache', '--no-cache', [CompletionResultType]::ParameterName, 'Keep nothing about the server from one start to the next')
            [CompletionResult]::new('--disable-cookies', '--disable-cookies', [CompletionResultType]::ParameterName, 'Ignore the server''s cookies')
            [CompletionResult]::new('--read-only', '--read-only', [CompletionResultType]::ParameterName, 'Hide all tools that are not annotated as read-only')
            [CompletionResult]::new('-v', '-v', [CompletionResultType]::ParameterName, 'Log to stderr: -v, -vv, -vvv')
            [CompletionResult]::new('--verbose', '--verbose', [CompletionResultType]::ParameterName, 'Log to stderr: -v, -vv, -vvv')
            [CompletionResult]::new('--silent', '--silent', [CompletionResultType]::ParameterName, 'Log nothing to stderr')
            [CompletionResult]::new('--debug', '--debug', [CompletionResultType]::ParameterName, 'Same as -vv, with a log file')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('run', 'run', [CompletionResultType]::ParameterValue, 'Connect an MCP client with the server over stdio (default)')
            [CompletionResult]::new('check', 'check', [CompletionResultType]::ParameterValue, 'Diagnose the connection step by step')
            [CompletionResult]::new('login', 'login', [CompletionResultType]::ParameterValue, 'Sign in now, or as another user')
            [CompletionResult]::new('logout', 'logout', [CompletionResultType]::ParameterValue, 'Sign out, and delete the stored tokens')
            [CompletionResult]::new('tokens', 'tokens', [CompletionResultType]::ParameterValue, 'Show the stored sign-ins, without secrets')
            [CompletionResult]::new('config', 'config', [CompletionResultType]::ParameterValue, 'Print the entry of a client''s configuration, or replace mcp-remote in one')
            [CompletionResult]::new('access', 'access', [CompletionResultType]::ParameterValue, 'Manage Cloudflare Access: setup, status, rotate, renew, revoke, link')
            [CompletionResult]::new('add', 'add', [CompletionResultType]::ParameterValue, 'Add a server to a client''s configuration')
            [CompletionResult]::new('remove', 'remove', [CompletionResultType]::ParameterValue, 'Remove a server from a client''s configuration')
            [CompletionResult]::new('migrate', 'migrate', [CompletionResultType]::ParameterValue, 'Replace mcp-remote and other proxies in the configuration of all clients')
            [CompletionResult]::new('install', 'install', [CompletionResultType]::ParameterValue, 'Copy this program to your folder for programs')
            [CompletionResult]::new('completions', 'completions', [CompletionResultType]::ParameterValue, 'Print completions for a shell')
            break
        }
        'mcp-tether;run' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;check' {
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable')
            [CompletionResult]::new('--auth', '--auth', [CompletionResultType]::ParameterName, 'Sign-in with a browser (OAuth)')
            [CompletionResult]::new('--ca-cert', '--ca-cert', [CompletionResultType]::ParameterName, 'File with further certificates to trust, in PEM form. Repeatable')
            [CompletionResult]::new('--proxy', '--proxy', [CompletionResultType]::ParameterName, 'Proxy to use, in place of the environment''s')
            [CompletionResult]::new('--no-access', '--no-access', [CompletionResultType]::ParameterName, 'Send no Cloudflare Access service token')
            [CompletionResult]::new('--allow-http', '--allow-http', [CompletionResultType]::ParameterName, 'Accept an http:// URL of another computer')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the findings as JSON')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;login' {
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable')
            [CompletionResult]::new('--oauth-issuer', '--oauth-issuer', [CompletionResultType]::ParameterName, 'The only authorization server to accept, by its issuer')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Name of this sign-in, to keep several for one server')
            [CompletionResult]::new('--device-code', '--device-code', [CompletionResultType]::ParameterName, 'Sign in with a code, on any computer')
            [CompletionResult]::new('--paste', '--paste', [CompletionResultType]::ParameterName, 'Paste the address that the browser ends at')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;logout' {
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Name of this sign-in, to keep several for one server')
            [CompletionResult]::new('--resource', '--resource', [CompletionResultType]::ParameterName, 'Resource indicator of the server; "" for none')
            [CompletionResult]::new('--all', '--all', [CompletionResultType]::ParameterName, 'Sign out of all profiles of the server; without a URL, of every server')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Do not ask')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;tokens' {
            [CompletionResult]::new('--header', '--header', [CompletionResultType]::ParameterName, 'Header for every request, "Name: value"; ${VAR} is expanded. Repeatable')
            [CompletionResult]::new('--profile', '--profile', [CompletionResultType]::ParameterName, 'Name of this sign-in, to keep several for one server')
            [CompletionResult]::new('--resource', '--resource', [CompletionResultType]::ParameterName, 'Resource indicator of the server; "" for none')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;config' {
            [CompletionResult]::new('--client', '--client', [CompletionResultType]::ParameterName, 'Client to print the entry for')
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Configuration file whose mcp-remote entries to replace')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Environment variable that the server gets. Repeatable')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'Environment variable that the server gets. Repeatable')
            [CompletionResult]::new('--json', '--json', [CompletionResultType]::ParameterName, 'Print the JSON entry only (Claude Code)')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;access' {
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;add' {
            [CompletionResult]::new('--client', '--client', [CompletionResultType]::ParameterName, 'Client to add the entry to')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Configuration file to change')
            [CompletionResult]::new('-e', '-e', [CompletionResultType]::ParameterName, 'Environment variable that the server gets. Repeatable')
            [CompletionResult]::new('--env', '--env', [CompletionResultType]::ParameterName, 'Environment variable that the server gets. Repeatable')
            [CompletionResult]::new('--replace', '--replace', [CompletionResultType]::ParameterName, 'Replace an entry of the same name')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Write without asking')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;remove' {
            [CompletionResult]::new('--client', '--client', [CompletionResultType]::ParameterName, 'Client to remove the entry from')
            [CompletionResult]::new('--file', '--file', [CompletionResultType]::ParameterName, 'Configuration file to change')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Write without asking')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;migrate' {
            [CompletionResult]::new('--from', '--from', [CompletionResultType]::ParameterName, 'Configuration file to migrate, instead of those of all clients')
            [CompletionResult]::new('--client', '--client', [CompletionResultType]::ParameterName, 'Client that the file of --from belongs to')
            [CompletionResult]::new('--secrets', '--secrets', [CompletionResultType]::ParameterName, 'Where secrets in clear text go')
            [CompletionResult]::new('--check', '--check', [CompletionResultType]::ParameterName, 'Try each replacement with `check` first')
            [CompletionResult]::new('--undo', '--undo', [CompletionResultType]::ParameterName, 'Put back the entries that an earlier `migrate` replaced')
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Replace every entry whose replacement is certain, without asking')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help (see more with ''--help'')')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;install' {
            [CompletionResult]::new('--yes', '--yes', [CompletionResultType]::ParameterName, 'Replace a program that is there without asking')
            [CompletionResult]::new('-h', '-h', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('--help', '--help', [CompletionResultType]::ParameterName, 'Print help')
            [CompletionResult]::new('-V', '-V ', [CompletionResultType]::ParameterName, 'Print version')
            [CompletionResult]::new('--version', '--version', [CompletionResultType]::ParameterName, 'Print version')
            break
        }
        'mcp-tether;completions' {
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
