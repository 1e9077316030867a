//! Tables, as columns of text: no chat has any.

use std::fmt;

/// Letters to which a column is filled up; a longer cell stands out of its column.
const MAX_WIDTH: usize = 32;

#[derive(Default)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn row(&mut self) {
        self.rows.push(Vec::new());
    }

    pub(crate) fn cell(&mut self) {
        if let Some(row) = self.rows.last_mut() {
            row.push(String::new());
        }
    }

    pub(crate) fn text(&mut self, text: &str) {
        if let Some(cell) = self.rows.last_mut().and_then(|row| row.last_mut()) {
            cell.push_str(text);
        }
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut widths = Vec::new();
        for row in &self.rows {
            widths.resize(widths.len().max(row.len()), 0);
            for (width, cell) in widths.iter_mut().zip(row) {
                *width = cell.chars().count().min(MAX_WIDTH).max(*width);
            }
        }
        for (index, row) in self.rows.iter().enumerate() {
            if index > 0 {
                writeln!(f)?;
            }
            let filled = row.iter().rposition(|cell| !cell.is_empty()).map_or(0, |last| last + 1);
            for (column, (cell, width)) in row.iter().zip(&widths).take(filled).enumerate() {
                let last = column + 1 == filled;
                match last {
                    true => write!(f, "{cell}")?,
                    false => write!(f, "{cell:width$} | ")?,
                }
            }
            if index == 0 {
                let rule: Vec<String> = widths.iter().map(|width| "-".repeat((*width).max(1))).collect();
                write!(f, "\n{}", rule.join("-|-"))?;
            }
        }
        Ok(())
    }
}
