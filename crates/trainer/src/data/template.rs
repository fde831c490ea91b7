//! The question's text as a template of the user's makes it of a row.

use std::collections::BTreeMap;

use minijinja::value::Serde;
use minijinja::{Environment, ErrorKind, UndefinedBehavior, Value};

use super::cell::Cell;

/// Instructions that a template may run for one row.
const FUEL: u64 = 100_000;

/// A template in Jinja's language: `content` is the question, other names are columns of the row.
#[derive(Debug)]
pub(super) struct Template {
    text: String,
    environment: Environment<'static>,
    names: Vec<String>,
}

impl Template {
    /// # Errors
    ///
    /// When the text is no template.
    pub fn new(text: &str) -> Result<Self, String> {
        let mut environment = Environment::new();
        environment.set_undefined_behavior(UndefinedBehavior::Strict);
        environment.set_fuel(Some(FUEL));
        let template = environment.template_from_str(text).map_err(|error| failed(&error))?;
        let names = template.undeclared_variables(false).into_iter().collect();
        Ok(Self { text: text.into(), environment, names })
    }

    /// Whether it names a column.
    pub fn wants(&self, column: &str) -> bool {
        self.names.iter().any(|name| name == column)
    }

    /// The text of a row's question.
    ///
    /// # Errors
    ///
    /// When it names a column that the row lacks, or runs for too long.
    pub fn render(&self, content: &str, row: &Cell) -> Result<String, String> {
        let column =
            |name: &String| Some((name.clone(), Value::from(Serde(row.at(name)?.json()?))));
        let mut names: BTreeMap<String, Value> = self.names.iter().filter_map(column).collect();
        names.insert("content".into(), content.into());
        let missing = self.names.iter().find(|name| !names.contains_key(*name));
        let missing =
            missing.map(|name| format!("prompt_template: the row has no {name}; mend it"));
        let made = self.environment.render_str(&self.text, names);
        made.map_err(|error| match (error.kind(), missing) {
            (ErrorKind::UndefinedError, Some(missing)) => missing,
            _ => failed(&error),
        })
    }
}

fn failed(error: &minijinja::Error) -> String {
    let detail = error.detail().map_or(String::new(), |detail| format!(": {detail}"));
    let line = error.line().map_or(String::new(), |line| format!(" in its line {line}"));
    format!("prompt_template: {}{detail}{line}; mend it", error.kind())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions_are_put_together_of_columns() {
        let row: Cell = serde_json::from_str(
            r#"{"question": "How many?", "options": ["3", "4"], "unit": "cm", "level": 2,
                "meta": {"hint": "Look."}, "content": "other"}"#,
        )
        .unwrap();
        let cases = [
            ("{{ content | trim }} Be brief.", Ok("How many? Be brief.")),
            (
                "{{ content }}{% for option in options %} ({{ loop.index }}) {{ option }}{% endfor %}",
                Ok("How many? (1) 3 (2) 4"),
            ),
            (
                "{{ meta.hint }} {{ question }} [{{ unit }}] {{ level + 1 }}",
                Ok("Look. How many? [cm] 3"),
            ),
            ("<b>{{ content }}</b>", Ok("<b>How many?</b>")),
            ("{{ hint }}", Err("the row has no hint; mend it")),
            ("{% for i in range(1000000) %}{% endfor %}", Err("mend it")),
        ];
        for (text, expected) in cases {
            let found = Template::new(text).unwrap().render("How many?", &row);
            match (found, expected) {
                (Ok(found), Ok(expected)) => assert_eq!(found, expected, "{text}"),
                (Err(found), Err(expected)) => assert!(found.contains(expected), "{found}"),
                (found, _) => panic!("{text}: {found:?}"),
            }
        }
        let template = Template::new("{{ content }} {{ meta.hint }}").unwrap();
        assert!(template.wants("meta") && !template.wants("hint"));
        let error = Template::new("{{ content").unwrap_err();
        assert!(error.starts_with("prompt_template: syntax error"), "{error}");
    }
}
