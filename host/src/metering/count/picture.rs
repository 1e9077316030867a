//! What an image takes of a model's input.

use data_encoding::BASE64;

use crate::image::ImageType;

/// How a family of models counts an image by its width and height, in pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Picture {
    /// Anthropic's documentation of vision: a token for each square of 28 pixels a side that is begun, of the
    /// largest image of the same shape with sides up to `side` and no more than `most` tokens.
    Squares { side: u32, most: u64 },
    /// OpenAI's ("Images and vision", costs, `detail: high`): made to fit into a square of 2,048 and then to have a
    /// shorter side of at most 768, `base` and for each square of 512 that is begun `tile`.
    Tiles { base: u64, tile: u64 },
    /// The same, for smaller models: a square of 32 is a token, made to fit into `most` of them; `per_mille`
    /// thousandths are billed for each.
    Patches { per_mille: u64, most: u64 },
    /// Gemini's documentation of tokens: 258 for a small one, and for each square of 768 that is begun.
    Crops,
}

/// What of an image is decoded for its size, in characters of base64: the whole head of most, then what comes
/// behind a preview that a camera has put into it.
const HEADS: [usize; 3] = [64, 1 << 14, 1 << 18];

impl Picture {
    /// Claude up to Opus 4.6.
    pub(super) const CLAUDE: Self = Self::Squares { side: 1_568, most: 1_568 };
    /// Claude since Opus 4.7.
    pub(super) const LATE_CLAUDE: Self = Self::Squares { side: 2_576, most: 4_784 };
    pub(super) const GEMINI: Self = Self::Crops;
    /// Others are taken for the first that was documented.
    pub(super) const UNKNOWN: Self = Self::CLAUDE;

    /// By a name of a model of OpenAI's; the longest that fits decides.
    pub(super) fn of_openai(model: &str) -> Self {
        const TABLE: [(&str, Picture); 11] = [
            ("gpt-4o-mini", Picture::Tiles { base: 2_833, tile: 5_667 }),
            ("gpt-4.1-mini", Picture::Patches { per_mille: 1_620, most: 1_536 }),
            ("gpt-4.1-nano", Picture::Patches { per_mille: 2_460, most: 1_536 }),
            ("gpt-5-mini", Picture::Patches { per_mille: 1_620, most: 1_536 }),
            ("gpt-5-nano", Picture::Patches { per_mille: 2_460, most: 1_536 }),
            ("o4-mini", Picture::Patches { per_mille: 1_720, most: 1_536 }),
            // Not in the documentation's table; by what people were billed.
            ("gpt-5.", Picture::Patches { per_mille: 1_200, most: 2_500 }),
            ("gpt-5", Picture::Tiles { base: 70, tile: 140 }),
            ("o1", Picture::Tiles { base: 75, tile: 150 }),
            ("o3", Picture::Tiles { base: 75, tile: 150 }),
            ("", Picture::Tiles { base: 85, tile: 170 }),
        ];
        TABLE.iter().find(|(name, _)| model.starts_with(name)).map_or(Self::UNKNOWN, |(_, picture)| *picture)
    }

    /// Tokens of an image in base64; the most that one can take, where its size cannot be told.
    pub(super) fn tokens(self, data: &str) -> u64 {
        size(data).map_or_else(|| self.most(), |(width, height)| self.tokens_of(width, height))
    }

    fn most(self) -> u64 {
        match self {
            Self::Squares { most, .. } => most,
            // Four by two.
            Self::Tiles { base, tile } => base + 8 * tile,
            Self::Patches { per_mille, most } => (most * per_mille).div_ceil(1_000),
            Self::Crops => 6 * 258,
        }
    }

    fn tokens_of(self, width: u32, height: u32) -> u64 {
        match self {
            Self::Squares { side, most } => squares(width, height, side, most),
            Self::Tiles { base, tile } => {
                let (width, height) = (f64::from(width), f64::from(height));
                let fitting = (2_048.0 / width.max(height)).min(1.0);
                let shorter = (768.0 / (width.min(height) * fitting)).min(1.0);
                let begun = |side: f64| (side * fitting * shorter / 512.0 - 1e-9).ceil().max(1.0) as u64;
                base + begun(width) * begun(height) * tile
            }
            Self::Patches { per_mille, most } => (patches(width, height, most) * per_mille).div_ceil(1_000),
            Self::Crops if width.max(height) <= 384 => 258,
            Self::Crops => u64::from(width.div_ceil(768)) * u64::from(height.div_ceil(768)) * 258,
        }
    }
}

fn squares(width: u32, height: u32, side: u32, most: u64) -> u64 {
    let (long, short) = (u64::from(width.max(height)), u64::from(width.min(height)));
    // Of the image whose longer side is this.
    let tokens = |longer: u64| longer.div_ceil(28) * ((short * longer + long / 2) / long.max(1)).max(1).div_ceil(28);
    let (mut fits, mut too_long) = (1, long.min(u64::from(side)) + 1);
    while fits + 1 < too_long {
        let middle = fits.midpoint(too_long);
        match tokens(middle) <= most {
            true => fits = middle,
            false => too_long = middle,
        }
    }
    tokens(fits).min(most)
}

/// By the steps of the documentation: scaled to the area of `most`, and then so that one side is whole patches.
fn patches(width: u32, height: u32, most: u64) -> u64 {
    let whole = u64::from(width.div_ceil(32)) * u64::from(height.div_ceil(32));
    if whole <= most {
        return whole;
    }
    let (width, height) = (f64::from(width) / 32.0, f64::from(height) / 32.0);
    let area = (most as f64 / (width * height)).sqrt();
    let whole_side = |side: f64| (side * area).floor().max(1.0) / (side * area);
    let scale = area * whole_side(width).min(whole_side(height));
    let begun = |side: f64| (side * scale - 1e-9).ceil().max(1.0) as u64;
    (begun(width) * begun(height)).min(most)
}

/// The width and height of an image in base64, in pixels.
fn size(data: &str) -> Option<(u32, u32)> {
    HEADS.iter().find_map(|head| {
        // Base64 can be cut at every fourth character; padding stands at its end only.
        let cut = data.as_bytes().get(..*head).unwrap_or(data.as_bytes());
        let bytes = BASE64.decode(cut).ok()?;
        ImageType::of(&bytes)?.size(&bytes)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::image::tests::png_of;

    #[test]
    fn images_take_what_the_documentation_says() {
        let tiles = Picture::of_openai("gpt-4o");
        assert_eq!([tiles.tokens_of(1_024, 1_024), tiles.tokens_of(2_048, 4_096)], [765, 1_105]);
        assert_eq!(tiles.tokens_of(128, 64), 255);
        let patches = Picture::Patches { per_mille: 1_000, most: 1_536 };
        assert_eq!([patches.tokens_of(1_024, 1_024), patches.tokens_of(1_800, 2_400)], [1_024, 1_452]);
        assert_eq!(Picture::of_openai("gpt-4.1-mini").tokens_of(1_800, 2_400), 2_353);
        let claude = Picture::CLAUDE;
        assert_eq!([claude.tokens_of(1_000, 1_000), claude.tokens_of(1_092, 1_092)], [1_296, 1_521]);
        assert_eq!(Picture::GEMINI.tokens_of(384, 200), 258);
    }

    #[test]
    fn a_large_image_takes_no_more_than_it_may_and_nearly_that() {
        for (width, height) in [(8_000, 8_000), (8_000, 5_000), (5_000, 8_000), (3_000, 3_001)] {
            let tokens = Picture::CLAUDE.tokens_of(width, height);
            assert!((1_400..=1_568).contains(&tokens), "{width} × {height}: {tokens}");
            let tokens = Picture::LATE_CLAUDE.tokens_of(width, height);
            assert!((4_400..=4_784).contains(&tokens), "{width} × {height}: {tokens}");
        }
        assert_eq!(Picture::CLAUDE.tokens_of(8_000, 1), 56);
    }

    #[test]
    fn the_size_is_read_from_the_head_and_what_has_none_takes_the_most() {
        let image = |mut bytes: Vec<u8>, more: usize| {
            bytes.resize(bytes.len() + more, 0);
            BASE64.encode(&bytes)
        };
        assert_eq!(Picture::CLAUDE.tokens(&image(png_of(1_000, 1_000), 0)), 1_296);
        assert_eq!(Picture::CLAUDE.tokens(&image(png_of(1_000, 1_000), 100_000)), 1_296);
        let preview =
            [&[0xff, 0xd8, 0xff, 0xe1, 0xea, 0x62][..], &[0; 60_000], &[0xff, 0xc0, 0, 11, 8, 3, 232, 3, 232]];
        assert_eq!(Picture::CLAUDE.tokens(&image(preview.concat(), 9_000)), 1_296);
        for broken in ["", "####", "AAAA", &image(png_of(0, 0), 0)[..20]] {
            assert_eq!(Picture::CLAUDE.tokens(broken), 1_568);
        }
    }

    #[test]
    fn no_size_is_too_odd() {
        let all = [Picture::CLAUDE, Picture::GEMINI, Picture::of_openai("o3"), Picture::of_openai("gpt-5-mini")];
        for side in [0, 1, 27, 28, 29, 767, 769, 65_535, u32::MAX] {
            for other in [0, 1, 512, u32::MAX] {
                for picture in all {
                    picture.tokens_of(side, other);
                }
            }
        }
    }
}
