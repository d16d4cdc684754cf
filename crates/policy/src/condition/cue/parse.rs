//! Tokens and grammar of the subset.

use proofmark_types::UnixTime;
use serde_json::Value;

use super::{Constraint, Field, Kind, Operand, Operator};
use crate::text::TextMatch;

/// Structs, lists and brackets within each other; the parser recurses over them.
const MAX_DEPTH: usize = 32;

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(String),
    Sign(&'static str),
}

/// The longest first.
const SIGNS: [&str; 21] = [
    "...", "<=", ">=", "!=", "==", "=~", "!~", "<", ">", "{", "}", "[", "]", "(", ")", ":", ",", "?", "|", "&", ".",
];

pub(super) fn file(source: &str) -> Result<Vec<Field>, String> {
    let mut parser = Parser {
        tokens: tokens(source)?,
        next: 0,
        time: false,
    };
    parser.imports()?;
    let fields = parser.fields(None, 0)?;
    Ok(fields)
}

fn tokens(source: &str) -> Result<Vec<Token>, String> {
    let mut found: Vec<Token> = Vec::new();
    let mut rest = source;
    while let Some(first) = rest.chars().next() {
        if first == '\n' {
            // A line ends a field where one can end, as in CUE.
            let ends = match found.last() {
                Some(Token::Sign(sign)) => matches!(*sign, "}" | "]" | ")" | "..." | "?"),
                Some(_) => true,
                None => false,
            };
            if ends {
                found.push(Token::Sign(","));
            }
            rest = rest.split_at(1).1;
        } else if first.is_whitespace() {
            rest = rest.split_at(first.len_utf8()).1;
        } else if rest.starts_with("//") {
            rest = rest.find('\n').map_or("", |end| rest.split_at(end).1);
        } else if first == '"' {
            let (text, behind) = quoted(rest)?;
            found.push(Token::Text(text));
            rest = behind;
        } else if first.is_ascii_digit() || first == '-' && rest.chars().nth(1).is_some_and(|c| c.is_ascii_digit()) {
            let end = rest
                .char_indices()
                .skip(1)
                .find(|(_, c)| !(c.is_ascii_alphanumeric() || *c == '.' || *c == '_'))
                .map_or(rest.len(), |(end, _)| end);
            let (number, behind) = rest.split_at(end);
            found.push(Token::Number(number.to_owned()));
            rest = behind;
        } else if first.is_alphabetic() || first == '_' {
            let end = rest
                .find(|c: char| !(c.is_alphanumeric() || c == '_'))
                .unwrap_or(rest.len());
            let (word, behind) = rest.split_at(end);
            found.push(Token::Word(word.to_owned()));
            rest = behind;
        } else if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
            found.push(Token::Sign(sign));
            rest = rest.split_at(sign.len()).1;
        } else {
            return Err(format!("'{first}' is not read (definitions, defaults and the like)"));
        }
    }
    Ok(found)
}

/// A text in double quotes, which JSON and CUE share but for interpolation and blocks.
fn quoted(rest: &str) -> Result<(String, &str), String> {
    if rest.starts_with("\"\"\"") {
        return Err("texts of several lines are not read".to_owned());
    }
    let mut escaped = false;
    for (position, c) in rest.char_indices().skip(1) {
        match c {
            '(' if escaped => return Err("interpolation is not read".to_owned()),
            '\n' => break,
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => {
                let (text, behind) = rest.split_at(position + 1);
                let text = serde_json::from_str(text).map_err(|error| format!("{text} is no text: {error}"))?;
                return Ok((text, behind));
            }
            _ => {}
        }
    }
    Err("a text does not end".to_owned())
}

struct Parser {
    tokens: Vec<Token>,
    next: usize,
    /// Whether `time` is imported.
    time: bool,
}

impl Parser {
    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next)
    }

    fn peek_at(&self, ahead: usize) -> Option<&Token> {
        self.tokens.get(self.next + ahead)
    }

    fn take(&mut self) -> Option<Token> {
        let token = self.peek().cloned();
        self.next += 1;
        token
    }

    fn is(&self, sign: &str) -> bool {
        matches!(self.peek(), Some(Token::Sign(seen)) if *seen == sign)
    }

    fn skip(&mut self, sign: &str) -> bool {
        let is = self.is(sign);
        self.next += usize::from(is);
        is
    }

    fn expect(&mut self, sign: &str) -> Result<(), String> {
        if self.skip(sign) {
            return Ok(());
        }
        Err(format!("expected {sign}, got {}", self.seen()))
    }

    fn seen(&self) -> String {
        match self.peek() {
            None => "the end".to_owned(),
            Some(Token::Word(text) | Token::Number(text)) => text.clone(),
            Some(Token::Text(text)) => format!("\"{text}\""),
            Some(Token::Sign(",")) => "the end of a line or a comma".to_owned(),
            Some(Token::Sign(sign)) => (*sign).to_owned(),
        }
    }

    fn imports(&mut self) -> Result<(), String> {
        while self.peek() == Some(&Token::Word("import".to_owned()))
            && !matches!(self.peek_at(1), Some(Token::Sign(":")))
        {
            self.next += 1;
            match self.take() {
                Some(Token::Text(name)) if name == "time" => self.time = true,
                Some(Token::Text(name)) => return Err(format!("the package {name} is not read; time is")),
                _ => return Err("expected the name of one package after import".to_owned()),
            }
            while self.skip(",") {}
        }
        Ok(())
    }

    /// Fields up to `end`, or to the end of the source.
    fn fields(&mut self, end: Option<&str>, depth: usize) -> Result<Vec<Field>, String> {
        let mut fields = Vec::new();
        loop {
            while self.skip(",") {}
            match (self.peek().is_none(), end) {
                (true, None) => return Ok(fields),
                (true, Some(end)) => return Err(format!("expected {end}, got the end")),
                (false, Some(end)) if self.skip(end) => return Ok(fields),
                (false, _) => {}
            }
            // Structs are open here, with and without it.
            if self.skip("...") {
                continue;
            }
            fields.push(self.field(depth)?);
            let ended = self.peek().is_none() || self.is(",") || end.is_some_and(|end| self.is(end));
            if !ended {
                return Err(format!("expected the end of a field, got {}", self.seen()));
            }
        }
    }

    fn field(&mut self, depth: usize) -> Result<Field, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let name = match self.take() {
            Some(Token::Word(name)) if matches!(name.as_str(), "if" | "for" | "let") && !self.is(":") => {
                return Err(format!("{name} is not read"));
            }
            Some(Token::Word(name) | Token::Text(name)) => name,
            _ => {
                self.next -= 1;
                return Err(format!("expected a field, got {}", self.seen()));
            }
        };
        let optional = self.skip("?");
        self.expect(":")?;
        let nested = matches!(self.peek(), Some(Token::Word(_) | Token::Text(_)))
            && match self.peek_at(1) {
                Some(Token::Sign(":")) => true,
                Some(Token::Sign("?")) => matches!(self.peek_at(2), Some(Token::Sign(":"))),
                _ => false,
            };
        let must = if nested {
            Constraint::Struct(vec![self.field(depth + 1)?])
        } else {
            self.either(depth + 1)?
        };
        Ok(Field { name, optional, must })
    }

    fn either(&mut self, depth: usize) -> Result<Constraint, String> {
        if depth > MAX_DEPTH {
            return Err(format!("nested deeper than {MAX_DEPTH} levels"));
        }
        let mut parts = vec![self.both(depth)?];
        while self.skip("|") {
            parts.push(self.both(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Constraint::Any(parts),
        })
    }

    fn both(&mut self, depth: usize) -> Result<Constraint, String> {
        let mut parts = vec![self.unary(depth)?];
        while self.skip("&") {
            parts.push(self.unary(depth)?);
        }
        Ok(match parts.len() {
            1 => parts.remove(0),
            _ => Constraint::All(parts),
        })
    }

    fn unary(&mut self, depth: usize) -> Result<Constraint, String> {
        const OPERATORS: [(&str, Operator); 5] = [
            ("<=", Operator::LessOrEqual),
            (">=", Operator::GreaterOrEqual),
            ("!=", Operator::NotEqual),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (sign, operator) in OPERATORS {
            if self.skip(sign) {
                return match self.primary(depth)? {
                    Constraint::Is(value) => Ok(Constraint::Order(operator, Operand::Value(value))),
                    Constraint::Name(name) => Ok(Constraint::Order(operator, Operand::Name(name))),
                    _ => Err(format!("expected a plain value or a name after {sign}")),
                };
            }
        }
        for (sign, wanted) in [("=~", true), ("!~", false)] {
            if self.skip(sign) {
                let Some(Token::Text(source)) = self.take() else {
                    return Err(format!("expected a text after {sign}"));
                };
                // Anywhere in the text, as in CUE.
                let expression =
                    TextMatch::regexp(format!("(?s:.*)(?:{source})(?s:.*)")).map_err(|error| error.to_string())?;
                return Ok(Constraint::Matches {
                    expression,
                    source,
                    wanted,
                });
            }
        }
        self.primary(depth)
    }

    fn primary(&mut self, depth: usize) -> Result<Constraint, String> {
        match self.take() {
            Some(Token::Text(text)) => Ok(Constraint::Is(Value::String(text))),
            Some(Token::Number(number)) => {
                let value: Value =
                    serde_json::from_str(&number).map_err(|_| format!("{number} is not a number that is read"))?;
                Ok(Constraint::Is(value))
            }
            Some(Token::Word(word)) => self.word(word),
            Some(Token::Sign("(")) => {
                let inner = self.either(depth + 1)?;
                self.expect(")")?;
                Ok(inner)
            }
            Some(Token::Sign("{")) => Ok(Constraint::Struct(self.fields(Some("}"), depth + 1)?)),
            Some(Token::Sign("[")) => self.list(depth),
            _ => {
                self.next -= 1;
                Err(format!("expected a value, got {}", self.seen()))
            }
        }
    }

    fn word(&mut self, word: String) -> Result<Constraint, String> {
        Ok(match word.as_str() {
            "_" => Constraint::Anything,
            "string" => Constraint::Type(Kind::Text),
            "number" | "float" => Constraint::Type(Kind::Number),
            "int" => Constraint::Type(Kind::Whole),
            "bool" => Constraint::Type(Kind::Bool),
            "true" | "false" => Constraint::Is(Value::Bool(word == "true")),
            "null" => Constraint::Is(Value::Null),
            "time" if self.is(".") => return self.time(),
            _ if self.is(".") || self.is("(") || self.is("[") => {
                return Err(format!("{word}{} is not read", self.seen()));
            }
            _ => Constraint::Name(word),
        })
    }

    fn time(&mut self) -> Result<Constraint, String> {
        if !self.time {
            return Err("time is not imported".to_owned());
        }
        self.expect(".")?;
        match self.take() {
            Some(Token::Word(name)) if name == "Time" => return Ok(Constraint::Type(Kind::Time)),
            Some(Token::Word(name)) if name == "Parse" => {}
            _ => return Err("of the package time only Time and Parse are read".to_owned()),
        }
        self.expect("(")?;
        let layout = [self.take(), self.take(), self.take()];
        let [
            Some(Token::Word(package)),
            Some(Token::Sign(".")),
            Some(Token::Word(layout)),
        ] = layout
        else {
            return Err("time.Parse is read with time.RFC3339 alone".to_owned());
        };
        if package != "time" || !layout.starts_with("RFC3339") {
            return Err("time.Parse is read with time.RFC3339 alone".to_owned());
        }
        self.expect(",")?;
        let Some(Token::Text(text)) = self.take() else {
            return Err("expected a time in quotes".to_owned());
        };
        self.expect(")")?;
        let time = UnixTime::parse(&text).map_err(|error| format!("\"{text}\": {error}"))?;
        Ok(Constraint::Is(Value::String(time.to_string())))
    }

    fn list(&mut self, depth: usize) -> Result<Constraint, String> {
        let mut items = Vec::new();
        let mut rest = None;
        loop {
            while self.skip(",") {}
            if self.skip("]") {
                return Ok(Constraint::List { items, rest });
            }
            if rest.is_some() {
                return Err(format!("expected ], got {}", self.seen()));
            }
            if self.skip("...") {
                let open = self.is("]") || self.is(",");
                rest = Some(Box::new(if open {
                    Constraint::Anything
                } else {
                    self.either(depth + 1)?
                }));
            } else {
                items.push(self.either(depth + 1)?);
            }
            if !self.is(",") && !self.is("]") {
                return Err(format!("expected , or ], got {}", self.seen()));
            }
        }
    }
}
