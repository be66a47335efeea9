//! An evaluation as one HTML page that needs nothing else: no script, no font, no picture from elsewhere. Charts are SVG in the page.
//!
//! The page is well-formed XML too, so that a test can parse it. Every name that comes from a file passes [`markup::escape`].

mod chart;

mod markup;

mod section;

pub mod subject;

#[cfg(test)]
mod test;

mod tree;

use markup::escape;
use subject::Subject;

const STYLE: &str = include_str!("page/style.css");

/// The whole page.
pub fn page(subject: &Subject<'_>) -> String {
    let name = subject.model_path.file_name().map_or_else(|| subject.model_path.to_string_lossy(), |name| name.to_string_lossy());
    let title = format!("Evaluation of {}", escape(&name));
    let parts = [
        section::head(subject, &title),
        section::summary(subject),
        section::confusion(subject),
        section::detection(subject),
        section::classes(subject),
        section::captures(subject),
        section::importances(subject),
        tree::section(subject),
        section::definitions(),
    ];
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\"/>\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"/>\n<title>{title}</title>\n<style>\n{STYLE}</style>\n</head>\n\
         <body>\n{}</body>\n</html>\n",
        parts.concat()
    )
}
