//! The texts of `-h` and `--help` that do not stand at an option, and the completions for shells.
//!
//! `-h` fits a screen: the most used options, a line each. `--help` has all of them, with examples. The completions are
//! written when the options change (`tests/mcp_remote`, `UPDATE=1`) and carried along as text, which is smaller than their
//! generator. Deliberately not here: the options themselves (`options`).

use clap::{Arg, Command};

use super::clients::Client;
use super::values::Shell;

const SEE_ALL: &str = "More options, all in detail, and examples: mcp-tether --help";

const EXAMPLES: &str = r#"Examples:
  Add a server behind Cloudflare Access to Claude Code:
    claude mcp add my-server -e CF_ACCESS_HOSTS=mcp.example.com \
      -- mcp-tether https://mcp.example.com/mcp

  Add a server with an API key to the "mcpServers" of claude_desktop_config.json:
    "my-server": {
      "command": "mcp-tether",
      "args": ["https://mcp.example.com/mcp", "--header", "X-API-Key: ${KEY}"],
      "env": { "KEY": "the key" }
    }

  Replace npx -y mcp-remote, and keep its arguments:
    mcp-tether https://mcp.example.com/sse 9696 --header "X-Key: ${KEY}" --ignore-tool "delete*"

  Allow only the tools that read:
    mcp-tether https://mcp.example.com/mcp --read-only

Options stand before or after the URL, as --name value or --name=value. If an option that is not
repeatable is given twice, the last one counts.

Environment:
  CF_ACCESS_CLIENT_ID, CF_ACCESS_CLIENT_SECRET  Cloudflare Access service token (see --access)
  CF_ACCESS_HOSTS                               Hosts that get the service token
  HTTPS_PROXY, HTTP_PROXY, ALL_PROXY, NO_PROXY  Proxies (see --proxy)
  NODE_EXTRA_CA_CERTS, SSL_CERT_FILE            Certificates to trust (see --ca-cert)
  MCP_TETHER_CONFIG_DIR, MCP_REMOTE_CONFIG_DIR  Folder of stored sign-ins

Files:
  mcp-tether/oauth, in the configuration folder  Stored sign-ins (if none, those of mcp-remote)
  mcp-tether/access-hosts.json, there            Hosts that a service token is proved to be for

Exit codes:
  run                    0 the conversation ended; 2 options or configuration cannot work
  check                  0 all is well; 1 a step failed; 2 as above; 130 interrupted
  login, logout, tokens  0 done; 1 failed, or nothing is stored; 2 as above; 130 interrupted"#;

const ENTRY_OPTIONS: &str =
    "All other options of mcp-tether are accepted, so that those of an entry can be pasted.";

const ADD: &str = "All options of mcp-tether are accepted and become part of the entry (mcp-tether --help). The change is shown first and \
     written when you agree; a backup is written beside the file.";

const WRITES: &str = "The change is shown first and written when you agree. Everything else stays as it is.";

/// How the help of a subcommand differs from that of all options.
struct Page {
    /// Empty for the command without a subcommand.
    name: &'static str,
    about: &'static str,
    usage: &'static str,
    /// The ids of the arguments in `-h`.
    short: &'static [&'static str],
    /// The headings that are not shown.
    hidden: &'static [&'static str],
}

const RUN: &[&str] =
    &["positional", "headers", "no_access", "ignore_tools", "read_only", "verbose", "silent"];

const PAGES: [Page; 12] = [
    Page {
        name: "",
        about: "Stdio MCP server that forwards every message to a remote server over streamable HTTP",
        usage: "mcp-tether [OPTIONS] <URL> [PORT]\n       mcp-tether <COMMAND> [OPTIONS] <URL>",
        short: RUN,
        hidden: &[],
    },
    Page {
        name: "run",
        about: "Connect an MCP client with the server over stdio (default)",
        usage: "mcp-tether [run] [OPTIONS] <URL> [PORT]",
        short: RUN,
        hidden: &[],
    },
    Page {
        name: "check",
        about: "Diagnose the connection step by step",
        usage: "mcp-tether check [OPTIONS] <URL>",
        short: &["positional", "json", "headers", "no_access", "auth", "allow_http", "ca_certs", "proxy"],
        hidden: &["Tools"],
    },
    Page {
        name: "login",
        about: "Sign in now, or as another user",
        usage: "mcp-tether login [OPTIONS] <URL> [PORT]",
        short: &["positional", "paste", "device_code", "profile", "oauth_issuer", "headers"],
        hidden: &["Tools"],
    },
    Page {
        name: "logout",
        about: "Sign out, and delete the stored tokens",
        usage: "mcp-tether logout [OPTIONS] <URL>\n       mcp-tether logout --all [--yes]",
        short: &["positional", "all", "yes", "profile", "resource", "headers"],
        hidden: &["Tools"],
    },
    Page {
        name: "tokens",
        about: "Show the stored sign-ins, without secrets",
        usage: "mcp-tether tokens [OPTIONS] <URL>",
        short: &["positional", "profile", "resource", "headers"],
        hidden: &["Tools", "Connection"],
    },
    Page {
        name: "access",
        about: "Manage Cloudflare Access: setup, status, rotate, renew, revoke, link",
        usage: "mcp-tether access <setup|status|rotate|renew|revoke|link> <URL> [OPTIONS]",
        short: &[],
        hidden: &[],
    },
    Page {
        name: "config",
        about: "Print the entry of a client's configuration, or replace mcp-remote in one",
        usage: "mcp-tether config <NAME> <URL> --client <CLIENT> [OPTIONS]\n       mcp-tether config --from <FILE> [--client <CLIENT>]",
        short: &["positional", "client", "from", "variables", "json"],
        hidden: &["Credentials", "Sign-in", "Connection", "Tools", "Diagnostics"],
    },
    Page {
        name: "add",
        about: "Add a server to a client's configuration",
        usage: "mcp-tether add <NAME> <URL> --client <CLIENT> [OPTIONS]",
        short: &["positional", "client", "file", "variables", "replace", "yes"],
        hidden: &["Credentials", "Sign-in", "Connection", "Tools", "Diagnostics"],
    },
    Page {
        name: "remove",
        about: "Remove a server from a client's configuration",
        usage: "mcp-tether remove <NAME> --client <CLIENT> [OPTIONS]",
        short: &["name", "client", "file", "yes"],
        hidden: &[],
    },
    Page {
        name: "migrate",
        about: "Replace mcp-remote and other proxies in the configuration of all clients",
        usage: "mcp-tether migrate [--from <FILE> [--client <CLIENT>]] [OPTIONS]",
        short: &["from", "client", "check", "undo", "secrets", "yes"],
        hidden: &[],
    },
    Page {
        name: "install",
        about: "Copy this program to your folder for programs",
        usage: "mcp-tether install [--yes]",
        short: &["yes"],
        hidden: &[],
    },
];

/// What a subcommand does, in a line.
pub(super) fn about(name: &str) -> &'static str {
    PAGES.iter().find(|page| page.name == name).map_or("", |page| page.about)
}

/// Adds usage, closing texts and the selection of `-h` to a command that has its arguments.
pub(super) fn described(command: Command, name: &str) -> Command {
    let Some(page) = PAGES.iter().find(|page| page.name == name) else { return command };
    let command =
        command.about(page.about).override_usage(page.usage).mut_args(|argument| of_page(argument, page));
    match name {
        "" | "run" => command.after_help(SEE_ALL).after_long_help(EXAMPLES),
        "config" => command
            .long_about(
                "Print the entry that a client needs to start mcp-tether, in that client's own form, and where it belongs. \
                 Writes nothing. With --from, print the replacement of each entry that starts mcp-remote.",
            )
            .mut_arg("positional", |positional| {
                positional.value_names(["NAME", "URL"]).help("Name of the server in the client, and its URL").long_help(None::<&str>)
            })
            .after_help(clients()),
        "add" => command
            .mut_arg("positional", |positional| {
                positional.value_names(["NAME", "URL"]).help("Name of the server in the client, and its URL").long_help(None::<&str>)
            })
            .after_help(ADD),
        "remove" | "migrate" => command.after_help(WRITES),
        "install" => command,
        _ => command.after_help(ENTRY_OPTIONS),
    }
}

fn of_page(argument: Arg, page: &Page) -> Arg {
    // clap repeats the first paragraph in the long help.
    let long = argument.get_long_help().map(ToString::to_string);
    let details =
        long.as_deref().and_then(|long| long.split_once("\n\n")).map(|(_, details)| details.to_owned());
    let argument = match details {
        Some(details) => argument.long_help(details),
        None => argument,
    };
    let is_hidden = argument.get_help_heading().is_some_and(|heading| page.hidden.contains(&heading));
    let is_long_only = !page.short.contains(&argument.get_id().as_str());
    argument.hide(is_hidden).hide_short_help(is_long_only)
}

/// The end of `config --help`.
fn clients() -> String {
    let mut text = "All options of mcp-tether are accepted and become part of the entry (mcp-tether --help). A secret is not printed, \
                    unless it is part of the URL's path: the entry refers to a variable in its place. The entry goes to the standard output, \
                    everything else to stderr.\n\nClients:\n"
        .to_owned();
    for client in Client::ALL {
        let places = client.places().join("\n                  ");
        text.push_str(&format!("  {:15} {places}\n", client.name()));
    }
    text
}

/// The completions for a shell.
pub(super) fn completions(shell: Shell) -> &'static str {
    match shell {
        Shell::Bash => include_str!("../../examples/completions/mcp-tether.bash"),
        Shell::Fish => include_str!("../../examples/completions/mcp-tether.fish"),
        Shell::Powershell => include_str!("../../examples/completions/_mcp-tether.ps1"),
        Shell::Zsh => include_str!("../../examples/completions/_mcp-tether"),
    }
}
