//! Arguments as what they are: options with their values, and what is no option. In their order, and as they were written.
//!
//! Which options take a value is asked of the command line itself (`cli`). Deliberately not here: what they mean.

use crate::cli;

/// One option with its value, or something that is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Arg {
    /// An option; joined where it was written `--name=value`.
    Option { name: String, value: Option<String>, is_joined: bool },
    /// Neither an option nor the value of one.
    Positional(String),
}

impl Arg {
    /// Puts it back among arguments.
    pub(super) fn write(&self, arguments: &mut Vec<String>) {
        match self {
            Arg::Positional(text) => arguments.push(text.clone()),
            Arg::Option { name, value: None, .. } => arguments.push(name.clone()),
            Arg::Option { name, value: Some(value), is_joined: true } => {
                arguments.push(format!("{name}={value}"));
            }
            Arg::Option { name, value: Some(value), is_joined: false } => {
                arguments.extend([name.clone(), value.clone()]);
            }
        }
    }
}

/// Takes arguments apart. `others` tells of options that are not the proxy's own whether they take a value.
pub(super) fn read(arguments: Vec<String>, others: impl Fn(&str) -> Option<bool>) -> Vec<Arg> {
    let mut words = Vec::new();
    let mut rest = arguments.into_iter();
    while let Some(argument) = rest.next() {
        if !argument.starts_with('-') || argument.len() < 2 {
            words.push(Arg::Positional(argument));
            continue;
        }
        match argument.split_once('=').filter(|(name, _)| name.starts_with("--")) {
            Some((name, value)) => words.push(Arg::Option {
                name: name.to_owned(),
                value: Some(value.to_owned()),
                is_joined: true,
            }),
            None => {
                let takes_value = others(&argument).or_else(|| cli::takes_value(&argument));
                let value = if takes_value == Some(true) { rest.next() } else { None };
                words.push(Arg::Option { name: argument, value, is_joined: false });
            }
        }
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_come_back_as_they_were_written() {
        let arguments = [
            "--header",
            "A: b",
            "name",
            "https://h/mcp",
            "3334",
            "--header=C: d",
            "-vv",
            "--proxy",
            "--odd",
            "--own",
            "x",
            "--flag",
            "-",
        ];
        let arguments: Vec<String> = arguments.map(str::to_owned).to_vec();
        let words = read(arguments.clone(), |name| (name == "--own").then_some(true));
        let bare: Vec<_> = words.iter().filter(|word| matches!(word, Arg::Positional(_))).collect();
        assert_eq!(bare.len(), 4, "{words:?}");
        let mut back = Vec::new();
        words.iter().for_each(|word| word.write(&mut back));
        assert_eq!(back, arguments);
    }
}
