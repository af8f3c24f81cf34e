//! How this copy of the program was installed, and how that channel updates it.
//!
//! The path of the program says it, and for two channels what lies beside it. Deliberately not here: installing
//! (`client_config::switch`).

use std::path::{Path, PathBuf};

/// A way in which the program comes to a computer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Channel {
    /// Started by `npx`, from its cache.
    Npx,
    /// Started by another runner of npm packages (`pnpm dlx`, `bunx`), from its cache.
    NpmRunner,
    /// Installed by npm, pnpm, yarn or bun.
    Npm,
    /// Started by `uvx`, from its cache.
    Uvx,
    /// Installed by `uv tool install`.
    UvTool,
    /// Installed by pipx.
    Pipx,
    /// Installed by pip, into an environment of Python.
    Pip,
    /// Installed by Cargo.
    Cargo,
    /// Part of an extension of Claude Desktop.
    DesktopExtension,
    /// In a folder for temporary files.
    Temporary,
    /// Unpacked from an archive, or put in place by `install.sh` or `mcp-tether install`.
    Archive,
}

/// What lies beside the program.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Nearby {
    /// The library folder of Python beside the program's folder describes this package.
    pub has_wheel: bool,
    /// Cargo's list of installed crates beside the program's folder names this one.
    pub has_crate: bool,
}

impl Nearby {
    /// Looks beside a program.
    pub fn of(program: &Path) -> Nearby {
        let Some(root) = program.parent().and_then(Path::parent) else { return Nearby::default() };
        let is_wheel = |folder: PathBuf| {
            names(&folder).iter().any(|name| name.starts_with("mcp_tether-") && name.ends_with(".dist-info"))
        };
        let library = root.join("lib");
        let pythons = names(&library).into_iter().filter(|name| name.starts_with("python"));
        let mut folders = pythons.map(|python| library.join(python).join("site-packages"));
        // Windows has no folder for the version.
        let has_wheel = folders.any(is_wheel) || is_wheel(root.join("Lib").join("site-packages"));
        let list = std::fs::read_to_string(root.join(".crates2.json")).unwrap_or_default();
        Nearby { has_wheel, has_crate: list.contains("\"mcp-tether ") }
    }
}

/// The names in a folder; none where it cannot be read.
fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| entry.file_name().into_string().ok()).collect()
}

impl Channel {
    /// The channel of the program that runs.
    pub fn of_process() -> Channel {
        let Some(program) = running() else { return Channel::Archive };
        Channel::of(&program.to_string_lossy(), &std::env::temp_dir().to_string_lossy(), Nearby::of(&program))
    }

    /// The channel of a program, by its full path, the folder for temporary files, and what lies beside it.
    pub fn of(program: &str, temporary: &str, nearby: Nearby) -> Channel {
        let plain = |path: &str| path.replace('\\', "/");
        let (path, temporary) = (plain(program), plain(temporary));
        let has = |parts: &[&str]| parts.iter().any(|part| path.contains(part));
        let is_below = |folder: &str| {
            let rest = path.strip_prefix(folder.trim_end_matches('/'));
            !folder.is_empty() && rest.is_some_and(|rest| rest.starts_with('/'))
        };
        let is_temporary = [temporary.as_str(), "/tmp", "/var/tmp", "/private/tmp"].into_iter().any(is_below);
        match () {
            () if has(&["/_npx/"]) => Channel::Npx,
            () if has(&["/pnpm/dlx", "/dlx-", "/bunx-"]) => Channel::NpmRunner,
            () if has(&["/node_modules/@mcp-tether/"]) => Channel::Npm,
            () if has(&["/uv/tools/mcp-tether/"]) => Channel::UvTool,
            () if has(&["/uv/archive-v", "/uv/environments-v", "/uv/cache/", "/archive-v0/"]) => Channel::Uvx,
            () if has(&["/pipx/venvs/"]) => Channel::Pipx,
            () if has(&["/Claude Extensions/"]) => Channel::DesktopExtension,
            () if is_temporary => Channel::Temporary,
            () if nearby.has_wheel => Channel::Pip,
            () if nearby.has_crate => Channel::Cargo,
            () => Channel::Archive,
        }
    }

    /// Returns whether the program may be gone when a client starts it the next time.
    pub fn is_temporary(self) -> bool {
        match self {
            Channel::Npx | Channel::NpmRunner | Channel::Uvx | Channel::Temporary => true,
            Channel::Npm
            | Channel::UvTool
            | Channel::Pipx
            | Channel::Pip
            | Channel::Cargo
            | Channel::DesktopExtension
            | Channel::Archive => false,
        }
    }

    /// Where the program comes from, for a sentence.
    pub fn name(self) -> &'static str {
        match self {
            Channel::Npx => "started by npx",
            Channel::NpmRunner => "started by pnpm dlx or bunx",
            Channel::Npm => "installed by npm",
            Channel::Uvx => "started by uvx",
            Channel::UvTool => "installed by uv",
            Channel::Pipx => "installed by pipx",
            Channel::Pip => "installed by pip",
            Channel::Cargo => "installed by cargo",
            Channel::DesktopExtension => "an extension of Claude Desktop",
            Channel::Temporary => "in a temporary folder",
            Channel::Archive => "a single program",
        }
    }

    /// How it is updated.
    pub fn update(self) -> &'static str {
        match self {
            Channel::Npx => "npx -y mcp-tether@latest",
            Channel::NpmRunner => "ask for mcp-tether@latest",
            Channel::Npm => "npm install --global mcp-tether@latest",
            Channel::Uvx => "uvx mcp-tether@latest",
            Channel::UvTool => "uv tool upgrade mcp-tether",
            Channel::Pipx => "pipx upgrade mcp-tether",
            Channel::Pip => "pip install --upgrade mcp-tether",
            Channel::Cargo => "cargo install mcp-tether",
            Channel::DesktopExtension => "open the .mcpb file of a newer release",
            Channel::Temporary => "none; mcp-tether install copies it to a lasting folder",
            Channel::Archive => "run install.sh again, or put a newer program in its place",
        }
    }

    /// The line of `--version` and `check`.
    pub fn line(self) -> String {
        format!("{}; update: {}", self.name(), self.update())
    }
}

/// The program that runs, without symbolic links.
pub fn running() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let resolved = std::fs::canonicalize(&program).ok()?;
    // Windows adds a prefix that clients do not know.
    let is_plain = !resolved.to_string_lossy().starts_with(r"\\?\");
    Some(if is_plain { resolved } else { program })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channel_is_told_by_path_and_neighbours() {
        let (none, wheel) = (Nearby::default(), Nearby { has_wheel: true, has_crate: false });
        let cargo = Nearby { has_wheel: false, has_crate: true };
        for (path, nearby, expected) in [
            ("/home/me/.npm/_npx/1a2b/node_modules/@mcp-tether/linux-x64/bin/mcp-tether", none, Channel::Npx),
            (
                r"C:\Users\me\AppData\Local\npm-cache\_npx\1a\node_modules\@mcp-tether\win32-x64\mcp-tether.exe",
                none,
                Channel::Npx,
            ),
            (
                "/usr/lib/node_modules/mcp-tether/node_modules/@mcp-tether/linux-x64/mcp-tether",
                none,
                Channel::Npm,
            ),
            (
                "/home/me/.local/share/pnpm/global/5/.pnpm/@mcp-tether+linux-x64@0.1.0/node_modules/@mcp-tether/linux-x64/mcp-tether",
                none,
                Channel::Npm,
            ),
            (
                "/home/me/.cache/pnpm/dlx/ab/node_modules/@mcp-tether/linux-x64/mcp-tether",
                none,
                Channel::NpmRunner,
            ),
            (
                "/tmp/bunx-1000-mcp-tether@latest/node_modules/@mcp-tether/linux-x64/mcp-tether",
                none,
                Channel::NpmRunner,
            ),
            ("/home/me/.local/share/uv/tools/mcp-tether/bin/mcp-tether", wheel, Channel::UvTool),
            (
                r"C:\Users\me\AppData\Roaming\uv\tools\mcp-tether\Scripts\mcp-tether.exe",
                wheel,
                Channel::UvTool,
            ),
            ("/home/me/.cache/uv/archive-v0/Xy/bin/mcp-tether", wheel, Channel::Uvx),
            (r"C:\Users\me\AppData\Local\uv\cache\archive-v0\Xy\Scripts\mcp-tether.exe", wheel, Channel::Uvx),
            ("/home/me/.local/share/pipx/venvs/mcp-tether/bin/mcp-tether", wheel, Channel::Pipx),
            ("/home/me/project/.venv/bin/mcp-tether", wheel, Channel::Pip),
            ("/home/me/.local/bin/mcp-tether", wheel, Channel::Pip),
            ("/home/me/.cargo/bin/mcp-tether", cargo, Channel::Cargo),
            ("/home/me/.cargo/bin/mcp-tether", none, Channel::Archive),
            (
                "/Users/me/Library/Application Support/Claude/Claude Extensions/mcp-tether/server/mcp-tether",
                none,
                Channel::DesktopExtension,
            ),
            ("/tmp/x/mcp-tether", none, Channel::Temporary),
            ("/var/folders/ab/T/x/mcp-tether", none, Channel::Temporary),
            ("/tmpfiles/mcp-tether", none, Channel::Archive),
            ("/usr/local/bin/mcp-tether", none, Channel::Archive),
            ("/home/me/.local/bin/mcp-tether", none, Channel::Archive),
        ] {
            assert_eq!(Channel::of(path, "/var/folders/ab/T", nearby), expected, "{path}");
        }
    }

    #[test]
    fn neighbours_are_found_in_their_folders() {
        let folder = tempfile::tempdir().expect("a folder");
        let program = folder.path().join("bin/mcp-tether");
        assert_eq!(Nearby::of(&program), Nearby::default());
        let list = "{\"installs\":{\"ripgrep 14.1.1 (registry+https://x)\":{}}}";
        std::fs::write(folder.path().join(".crates2.json"), list).expect("written");
        assert_eq!(Nearby::of(&program), Nearby::default());
        std::fs::write(folder.path().join(".crates2.json"), list.replace("ripgrep", "mcp-tether"))
            .expect("written");
        assert_eq!(Nearby::of(&program), Nearby { has_wheel: false, has_crate: true });
        let info = folder.path().join("lib/python3.12/site-packages/mcp_tether-0.1.0.dist-info");
        std::fs::create_dir_all(info).expect("a folder");
        assert_eq!(Nearby::of(&program), Nearby { has_wheel: true, has_crate: true });
    }
}
