//! What is found before anything is sent: every misconfiguration of a token that can be seen in it.

use serde_json::Value;

use crate::edge::{Config, Edge};
use crate::secrets;
use crate::support::INITIALIZE;
use crate::support::proxy::{Proxy, Stdin};

const ID: &str = "0123456789abcdef0123456789abcdef.access";
const SECRET: &str = "cfast_MARKEDmarkedMARKEDmarkedMARKEDmarkedMARK0123abcd";
const ID_NAME: &str = "CF_ACCESS_CLIENT_ID";
const SECRET_NAME: &str = "CF_ACCESS_CLIENT_SECRET";

/// A line of the table: the environment, more arguments, what the error says, what the advice says.
type Row<'a> = (&'a [(&'a str, &'a str)], &'a [&'a str], &'a str, &'a str);

#[test]
fn reports_misconfiguration_before_sending() {
    let edge = Edge::start(Config::default()).expect("a free port");
    let (quoted, single) = (format!("\"{SECRET}\""), format!("'{SECRET}'"));
    let (two_lines, pasted) = (format!("{SECRET}\nx"), format!("CF-Access-Client-Secret: {SECRET}"));
    let (spaced, smart) = (format!("cfast_MARKED {SECRET}"), format!("\u{201c}{SECRET}\u{201d}"));
    let (hidden, written) = (format!("{SECRET}\u{200b}"), format!("CF-Access-Client-Secret: {SECRET}"));
    let written_id = format!("CF-Access-Client-Id: {ID}");
    let pair = |secret| [(ID_NAME, ID), (SECRET_NAME, secret)];
    #[rustfmt::skip] // a line per row
    let rows: &[Row<'_>] = &[
        (&[(ID_NAME, ID)], &[], "CF_ACCESS_CLIENT_ID is set, but CF_ACCESS_CLIENT_SECRET is not", "CF_ACCESS_CLIENT_SECRET"),
        (&[(SECRET_NAME, SECRET)], &[], "CF_ACCESS_CLIENT_SECRET is set, but CF_ACCESS_CLIENT_ID is not", "CF_ACCESS_CLIENT_ID"),
        (&pair(""), &[], "CF_ACCESS_CLIENT_SECRET is not", "CF_ACCESS_CLIENT_SECRET"),
        (&[], &["--header", &written_id], "the header CF-Access-Client-Secret is not", "CF-Access-Client-Secret"),
        (&[], &["--header", &written], "the header CF-Access-Client-Id is not", "CF-Access-Client-Id"),
        (&[(ID_NAME, SECRET), (SECRET_NAME, ID)], &[], "look swapped", "exchange the two"),
        (&[(ID_NAME, ID), (SECRET_NAME, ID)], &[], "CF_ACCESS_CLIENT_SECRET", "secret"),
        (&pair(&quoted), &[], "begins with a quotation mark", "take the quotation marks off"),
        (&pair(&single), &[], "begins with a quotation mark", "take the quotation marks off"),
        (&pair(&two_lines), &[], "line break at position 55", "copy it again"),
        (&pair(&pasted), &[], "begins with the name of a header", "remove the name"),
        (&pair(&spaced), &[], "holds a space at position 13", "copy it again"),
        (&pair(&smart), &[], "outside ASCII at position 1", "copy it again"),
        (&pair(&hidden), &[], "outside ASCII at position 55", "copy it again"),
        (&pair("your-client-secret"), &[], "is a placeholder", "the real value"),
        (&pair("<secret>"), &[], "is a placeholder", "the real value"),
        (&pair("xxxxxxxx"), &[], "is a placeholder", "the real value"),
        (&pair("${CF_ACCESS_CLIENT_SECRET}"), &[], "still holds the placeholder", "write the value itself"),
        (&pair("$CF_ACCESS_CLIENT_SECRET"), &[], "still holds the placeholder", "write the value itself"),
        (&pair("%CF_ACCESS_CLIENT_SECRET%"), &[], "still holds the placeholder", "write the value itself"),
        (&[], &["--header", "CF-Access-Client-Id: ${MISSING}"], "the environment variable MISSING is not set", "MISSING"),
        (&[(ID_NAME, ID), (SECRET_NAME, SECRET), ("CF_ACCESS_CLIENT_ID_NEXT", ID)], &[], "CF_ACCESS_CLIENT_SECRET_NEXT is not", "CF_ACCESS_CLIENT_SECRET_NEXT"),
    ];
    let secrets = [SECRET.to_owned()];
    for (environment, more, sentence, advice) in rows {
        let url = edge.mcp_url();
        let mut arguments = vec!["-vvv", &url];
        arguments.extend(*more);
        let mut proxy = Proxy::start_with(Stdin::Pipes, &arguments, environment);
        for line in [INITIALIZE, r#"{"jsonrpc":"2.0","id":1,"method":"tools/list"}"#] {
            let answer = proxy.ask(line);
            let value: Value = serde_json::from_str(&answer).expect("JSON");
            let data = &value["error"]["data"];
            assert_eq!((&value["id"], &data["cause"]), (&1.into(), &"configuration".into()), "{answer}");
            let told = |text: &Value, part| text.as_str().is_some_and(|text| text.contains(part));
            assert!(told(&value["error"]["message"], sentence), "lacks {sentence:?}: {answer}");
            assert!(told(&data["advice"], advice), "the advice lacks {advice:?}: {answer}");
            assert!(secrets::found(&answer, &secrets).is_empty(), "{answer}");
        }
        proxy.tells(sentence);
        let ended = proxy.finish();
        assert_eq!((ended.code, ended.lines.len()), (Some(2), 0), "{}", ended.stderr);
        assert!(secrets::found(&ended.stderr, &secrets).is_empty(), "{}", ended.stderr);
    }
    assert!(edge.requests().is_empty(), "{:?}", edge.requests());
}
