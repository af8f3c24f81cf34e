//! The scripts of `examples/token-stores`, before programs that behave as pass, op, vault and secret-tool do.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use super::token_store::PATH;

/// The beginning of each program.
const BEGIN: &str =
    "#!/bin/sh\nset -eu\n[ ! -e \"$FOLDER/locked\" ] || { echo 'it is locked' >&2; exit 1; }\n";

/// What each program does with its arguments, as its own manual has it.
const PROGRAMS: [(&str, &str); 4] = [
    (
        "pass",
        r#"
case "$1 $2" in
  "show "*) cat "$PASSWORD_STORE_DIR/$2.gpg" ;;
  "insert --multiline") mkdir -p "$(dirname "$PASSWORD_STORE_DIR/$4")"; cat > "$PASSWORD_STORE_DIR/$4.gpg" ;;
  "rm --force") rm "$PASSWORD_STORE_DIR/$3.gpg" ;;
esac"#,
    ),
    (
        "op",
        r#"
case $2 in
  list) echo '['; for file in "$FOLDER"/*.op; do [ ! -e "$file" ] || printf '{"title": "%s"}\n' "$(basename "$file" .op)"; done; echo ']' ;;
  get) cat "$FOLDER/$3.op" ;;
  create) cat > "$FOLDER/$5.op" ;;
  edit) [ -e "$FOLDER/$3.op" ]; cat > "$FOLDER/$3.op" ;;
  delete) rm "$FOLDER/$3.op" ;;
esac"#,
    ),
    (
        "vault",
        r#"
case $2 in
  get) file=$FOLDER/$(basename "$5").vault; [ -e "$file" ] || { echo "No value found at secret/data/$5" >&2; exit 2; }; cat "$file" ;;
  put) [ "$5" = document=- ]; cat > "$FOLDER/$(basename "$4").vault" ;;
  metadata) rm -f "$FOLDER/$(basename "$5").vault" ;;
esac"#,
    ),
    (
        "secret-tool",
        r#"
case $1 in
  lookup) [ -e "$FOLDER/$5.item" ] || exit 1; cat "$FOLDER/$5.item" ;;
  store) head -c 8192 > "$FOLDER/$6.item"; cat > /dev/null ;;
  clear) [ -e "$FOLDER/$5.item" ] || exit 1; rm "$FOLDER/$5.item" ;;
esac"#,
    ),
];

/// One script with its program.
struct Script {
    path: PathBuf,
    folder: tempfile::TempDir,
}

impl Script {
    fn new(name: &str, program: &str) -> Script {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join(name);
        std::fs::write(&path, format!("{BEGIN}{program}\n")).expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("ours");
        let root = Path::new(env!("CARGO_MANIFEST_DIR"));
        Script { path: root.join(format!("examples/token-stores/{name}.sh")), folder }
    }

    fn run(&self, action: &str, secret: Option<&str>) -> Output {
        let mut command = Command::new("/bin/sh");
        command.arg(&self.path).arg(action).env_clear().env("FOLDER", self.folder.path());
        command.env("PATH", format!("{}:{PATH}", self.folder.path().display()));
        command.env("PASSWORD_STORE_DIR", self.folder.path().join("passwords"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let secret = secret.map(|secret| format!("secret={secret}\n")).unwrap_or_default();
        let request = format!("key=h-1\nhost=h\nprofile=work\n{secret}later=unknown\n\n");
        let mut input = child.stdin.take().expect("piped");
        // A script that fails need not read it.
        let _ = input.write_all(request.as_bytes());
        drop(input);
        child.wait_with_output().expect("it ends")
    }

    /// What it prints, where it succeeds.
    fn prints(&self, action: &str, secret: Option<&str>) -> String {
        let output = self.run(action, secret);
        assert!(output.status.success(), "{} {action}: {output:?}", self.path.display());
        String::from_utf8(output.stdout).expect("UTF-8")
    }
}

#[test]
fn example_scripts_keep_documents_and_report_locked_stores() {
    for (name, program) in PROGRAMS {
        let script = Script::new(name, program);
        assert_eq!(script.prints("get", None), "", "{name}");
        let long = format!(r#"{{"b":"{}"}}"#, "0123456789".repeat(2000));
        for document in [r#"{"a":"=\n\\ $HOME 'x' %s *"}"#, &long, r#"{"c":1}"#, &long] {
            assert_eq!(script.prints("store", Some(document)), "", "{name}");
            assert_eq!(script.prints("get", None).trim_end(), format!("secret={document}"), "{name}");
        }
        std::fs::write(script.folder.path().join("locked"), "").expect("written");
        for (action, secret) in [("get", None), ("store", Some("{}")), ("erase", None)] {
            let output = script.run(action, secret);
            assert!(!output.status.success() && output.stdout.is_empty(), "{name} {action}: {output:?}");
        }
        std::fs::remove_file(script.folder.path().join("locked")).expect("it is there");
        assert_eq!(script.prints("get", None).trim_end(), format!("secret={long}"), "{name}");
        script.prints("erase", None);
        assert_eq!(script.prints("get", None), "", "{name}");
        script.prints("erase", None);
        let left = std::fs::read_dir(script.folder.path()).expect("a folder").flatten();
        let left: Vec<PathBuf> =
            left.map(|entry| entry.path()).filter(|path| path.extension().is_some()).collect();
        assert!(left.is_empty(), "{name}: {left:?}");
    }
}
