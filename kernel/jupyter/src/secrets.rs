//! What of a cell's text is not to lie on a disk: texts that are given under a name which says that they are secret. Function of
//! text; it knows how a text literal is written and nothing else of a language.

/// What such names have in them.
const SECRET: [&str; 5] = ["password", "passwd", "secret", "token", "key"];
/// Words that have one of these in them and say nothing secret.
const HARMLESS: [&str; 3] = ["keyboard", "keyword", "monkey"];
/// What a line begins with that gives a parameter of the notebook, without quotation marks.
const PARAMETER: &str = ":param ";
/// What stands in their place.
const BLANK: &str = "…";

/// The text with every literal blanked that follows a secret name: `("sasl.password", "…")`, `let api_key = "…"`,
/// `token: "…"`, `password("…")` is a question and stays.
pub(crate) fn blanked(code: &str) -> String {
    let lines: Vec<String> = code.split_inclusive('\n').map(without_parameter).collect();
    literals_blanked(&lines.concat())
}

/// A line that gives a secret parameter, without its value: `:param api_token = …`.
fn without_parameter(line: &str) -> String {
    let given = line.trim_start().strip_prefix(PARAMETER).and_then(|given| given.split_once('='));
    let Some((name, _)) = given.filter(|(name, value)| says_secret(name.trim()) && !value.trim().is_empty()) else {
        return line.to_owned();
    };
    let end = if line.ends_with('\n') { "\n" } else { "" };
    format!("{PARAMETER}{}= {BLANK}{end}", name.trim_start())
}

fn literals_blanked(code: &str) -> String {
    let (mut text, mut from) = (String::with_capacity(code.len()), 0);
    let mut named = false;
    for (begins, ends) in literals(code) {
        let between = &code[from..begins];
        let secret = if named && is_separator(between) { true } else { names_secret(between) };
        text.push_str(between);
        let literal = &code[begins..ends];
        let quote = literal.find('"').unwrap_or(0);
        let close = literal.rfind('"').filter(|close| *close > quote).unwrap_or(literal.len());
        if secret && close > quote + 1 {
            text.push_str(&literal[..=quote]);
            text.push_str(BLANK);
            text.push_str(&literal[close..]);
        } else {
            text.push_str(literal);
        }
        named = !secret && says_secret(literal.trim_matches(|c: char| !c.is_alphanumeric()));
        from = ends;
    }
    text.push_str(&code[from..]);
    text
}

/// Whether a name says that what it names is secret.
fn says_secret(name: &str) -> bool {
    // A sentence is no name.
    let name = name.to_lowercase();
    let is_name = name.chars().all(|c| c.is_alphanumeric() || "._-".contains(c));
    is_name && SECRET.iter().any(|word| name.contains(word)) && !HARMLESS.iter().any(|word| name.contains(word))
}

/// Whether what stands between a name's literal and the next one makes the next one its value.
fn is_separator(between: &str) -> bool {
    let between: String = between.chars().filter(|c| !c.is_whitespace() && *c != '&').collect();
    matches!(between.as_str(), "," | ":" | "=" | "=>" | ",r" | ",r#")
}

/// Whether what stands in front of a literal is a secret name that is given it: `api_key = `, `token: String = `, `key: &`.
fn names_secret(before: &str) -> bool {
    let line = before.rsplit([';', '\n', '{', '(', ',']).next().unwrap_or("").trim();
    let Some(at) = line.find(['=', ':']) else { return false };
    let name = line[..at].trim().rsplit(|c: char| c.is_whitespace()).next().unwrap_or("");
    !name.is_empty() && says_secret(name)
}

/// Where the text literals are, in bytes.
fn literals(code: &str) -> Vec<(usize, usize)> {
    let bytes = code.as_bytes();
    let (mut found, mut at) = (Vec::new(), 0);
    while at < bytes.len() {
        let rest = &bytes[at..];
        if rest.starts_with(b"//") {
            at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
        } else if rest.starts_with(b"'\"'") {
            at += 3;
        } else if rest[0] == b'"' {
            let hashes = bytes[..at].iter().rev().take_while(|byte| **byte == b'#').count();
            let is_raw = bytes[..at - hashes].last() == Some(&b'r');
            let ends = at + 1 + if is_raw { raw(&rest[1..], hashes) } else { plain(&rest[1..]) };
            found.push((at, ends));
            at = ends;
        } else {
            at += 1;
        }
    }
    found
}

/// The bytes up to the end of a literal that may have escapes in it.
fn plain(rest: &[u8]) -> usize {
    let mut at = 0;
    while at < rest.len() {
        match rest[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    rest.len()
}

/// The bytes up to the last quote of a literal that ends with a quote and so many hashes.
fn raw(rest: &[u8], hashes: usize) -> usize {
    let end = [b"\"".as_slice(), &vec![b'#'; hashes]].concat();
    rest.windows(end.len()).position(|window| window == end).map_or(rest.len(), |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_secret_is_blanked() {
        for (code, expect) in [
            (r#"r.option("sasl.password", "p1")"#, r#"r.option("sasl.password", "…")"#),
            (r#".option("ssl.key.password", "a\"b").topic("t")"#, r#".option("ssl.key.password", "…").topic("t")"#),
            (r##"let api_key = r#"a"b"#;"##, r##"let api_key = r#"…"#;"##),
            (r#"let token: &str = "x"; let b = "y";"#, r#"let token: &str = "…"; let b = "y";"#),
            (r#"Login { user: "u", password: "p" }"#, r#"Login { user: "u", password: "…" }"#),
            (":param api_token = abc\nlet a = 1;", ":param api_token = …\nlet a = 1;"),
            (r#"corriente::inject("db_password", "p");"#, r#"corriente::inject("db_password", "…");"#),
            (r#"[("client.secret", "s"), ("group.id", "g")]"#, r#"[("client.secret", "…"), ("group.id", "g")]"#),
        ] {
            assert_eq!(blanked(code), expect);
        }
    }

    #[test]
    fn what_is_not_secret_stays() {
        for code in [
            r#"frame.write_kafka(b, "alerts").key("category")"#,
            r#"let pin = password("Your password: ")?; println!("the key is {pin}");"#,
            ":param threshold = 70",
            r#"col("token_count").alias("n")"#,
            "let x = 'a'; // \"password\", \"x\"",
            r#"let open = "never closed"#,
        ] {
            assert_eq!(blanked(code), code);
        }
    }
}
