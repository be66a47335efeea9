//! Text into markup: escaping, and the page's tables.

use std::fmt::Write;

use crate::figure::plain;

/// The text so that it stays text between tags and inside quoted attributes.
pub fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for letter in plain(text).chars() {
        match letter {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            '\'' => escaped.push_str("&#39;"),
            letter => escaped.push(letter),
        }
    }
    escaped
}

/// The start of a text, for a box of a fixed size; not yet escaped.
pub fn clip(text: &str, letters: usize) -> String {
    if text.chars().count() <= letters {
        return text.to_owned();
    }
    text.chars().take(letters.saturating_sub(1)).chain(['…']).collect()
}

/// A table cell: markup inside, and how strongly it is shaded, 0 to 1.
pub struct Cell {
    markup: String,
    shade: Option<f64>,
}

impl Cell {
    /// A cell of plain text.
    pub fn text(text: &str) -> Self {
        Self { markup: escape(text), shade: None }
    }

    /// The cell over a shade.
    pub fn shaded(mut self, shade: Option<f64>) -> Self {
        self.shade = shade;
        self
    }
}

/// A table with a caption; the first cell of a row is its header, all others are numbers.
pub fn table(caption: &str, head: &[String], rows: impl IntoIterator<Item = Vec<Cell>>) -> String {
    let mut table = format!("<div class=\"wide\"><table><caption>{}</caption>\n<thead><tr>", escape(caption));
    for column in head {
        let _ = write!(table, "<th scope=\"col\">{}</th>", escape(column));
    }
    table.push_str("</tr></thead>\n<tbody>\n");
    for row in rows {
        table.push_str("<tr>");
        for (column, cell) in row.iter().enumerate() {
            let shade = cell.shade.map_or(String::new(), |shade| format!(" class=\"shaded\" style=\"--shade:{shade:.3}\""));
            let _ = match column {
                0 => write!(table, "<th scope=\"row\">{}</th>", cell.markup),
                _ => write!(table, "<td{shade}>{}</td>", cell.markup),
            };
        }
        table.push_str("</tr>\n");
    }
    table.push_str("</tbody></table></div>\n");
    table
}

/// Column heads.
pub fn heads<const N: usize>(heads: [&str; N]) -> Vec<String> {
    heads.map(str::to_owned).to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hostile_name_stays_text() {
        let name = "\"><script src='//x'>&\u{0}";
        assert_eq!(escape(name), "&quot;&gt;&lt;script src=&#39;//x&#39;&gt;&amp;\u{fffd}");
    }

    #[test]
    fn a_clipped_text_ends_in_a_mark() {
        assert_eq!([clip("ñandú", 5), clip("ñandúes", 5)], ["ñandú", "ñand…"]);
    }
}
