//! Images that models take: told by their first bytes, measured by their heads.

/// The largest that a model is shown, in bytes: Anthropic takes 5 MiB of base64 (its documentation of
/// vision), which is three quarters of it; others take more.
pub(crate) const MAX_BYTES: u64 = (5 << 20) / 4 * 3;

/// What of a file tells its type, in bytes.
pub(crate) const HEAD: usize = 16;

/// The most pixels a side (Anthropic's documentation of vision).
const MAX_SIDE: u32 = 8_000;

/// A type of image that Anthropic and OpenAI both take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ImageType {
    Png,
    Jpeg,
    Gif,
    WebP,
}

impl ImageType {
    /// By the first bytes of a file.
    pub(crate) fn of(head: &[u8]) -> Option<Self> {
        Some(match head {
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Self::Png,
            [0xff, 0xd8, 0xff, ..] => Self::Jpeg,
            [b'G', b'I', b'F', b'8', b'7' | b'9', b'a', ..] => Self::Gif,
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'E', b'B', b'P', ..] => Self::WebP,
            _ => return None,
        })
    }

    pub(crate) fn mime_type(self) -> &'static str {
        match self {
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Gif => "image/gif",
            Self::WebP => "image/webp",
        }
    }

    /// Whether it has a size, and one that models take: a request with one that has not is refused as
    /// a whole, and so would be every request after it.
    pub(crate) fn is_within_bounds(self, image: &[u8]) -> bool {
        let size = self.size(image);
        size.is_some_and(|(width, height)| [width, height].iter().all(|side| (1..=MAX_SIDE).contains(side)))
    }

    /// Its width and height in pixels, where the bytes from its beginning hold them.
    pub(crate) fn size(self, image: &[u8]) -> Option<(u32, u32)> {
        match self {
            Self::Png => png(image),
            Self::Jpeg => jpeg(image),
            Self::Gif => gif(image),
            Self::WebP => webp(image),
        }
    }
}

fn at<const N: usize>(bytes: &[u8], index: usize) -> Option<[u8; N]> {
    bytes.get(index..index.checked_add(N)?)?.try_into().ok()
}

/// PNG, section 11.2.1: `IHDR` is the first chunk.
fn png(image: &[u8]) -> Option<(u32, u32)> {
    let is_header = at::<4>(image, 12)? == *b"IHDR";
    is_header.then_some((u32::from_be_bytes(at(image, 16)?), u32::from_be_bytes(at(image, 20)?)))
}

/// GIF89a, section 18: the logical screen.
fn gif(image: &[u8]) -> Option<(u32, u32)> {
    Some((u16::from_le_bytes(at(image, 6)?).into(), u16::from_le_bytes(at(image, 8)?).into()))
}

/// RFC 9649, sections 2.5 to 2.7, and RFC 6386, section 9.1.
fn webp(image: &[u8]) -> Option<(u32, u32)> {
    match &at::<4>(image, 12)? {
        b"VP8X" => {
            // 24 bits each, less one.
            let side =
                |index| at(image, index).map(|[low, mid, high]: [u8; 3]| u32::from_le_bytes([low, mid, high, 0]) + 1);
            Some((side(24)?, side(27)?))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(at(image, 21)?);
            Some(((bits & 0x3fff) + 1, (bits >> 14 & 0x3fff) + 1))
        }
        b"VP8 " => {
            let side = |index| Some(u32::from(u16::from_le_bytes(at(image, index)?) & 0x3fff));
            Some((side(26)?, side(28)?))
        }
        _ => None,
    }
}

/// ITU T.81, section B.2.2: the frame's header, behind any number of segments.
fn jpeg(image: &[u8]) -> Option<(u32, u32)> {
    let mut index = 2;
    loop {
        let [marker, kind] = at(image, index)?;
        if marker != 0xff {
            return None;
        }
        match kind {
            // Padding.
            0xff => index += 1,
            // Markers without a segment.
            0x01 | 0xd0..=0xd8 => index += 2,
            // Frames; among them stand tables (C4, CC) and an extension (C8).
            0xc0..=0xcf if !matches!(kind, 0xc4 | 0xc8 | 0xcc) => {
                let height = u16::from_be_bytes(at(image, index + 5)?);
                let width = u16::from_be_bytes(at(image, index + 7)?);
                return Some((width.into(), height.into()));
            }
            // The end, or data before any frame.
            0xd9 | 0xda => return None,
            _ => index += 2 + usize::from(u16::from_be_bytes(at(image, index + 2)?)),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The head of a PNG of so many pixels.
    pub(crate) fn png_of(width: u32, height: u32) -> Vec<u8> {
        let mut image = b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR".to_vec();
        image.extend_from_slice(&width.to_be_bytes());
        image.extend_from_slice(&height.to_be_bytes());
        image.extend_from_slice(&[8, 2, 0, 0, 0]);
        image
    }

    fn sized(image: &[u8]) -> Option<(&'static str, bool)> {
        let kind = ImageType::of(&image[..image.len().min(HEAD)])?;
        Some((kind.mime_type(), kind.is_within_bounds(image)))
    }

    #[test]
    fn each_type_is_told_and_measured() {
        assert_eq!(sized(&png_of(8_000, 1)), Some(("image/png", true)));
        assert_eq!(sized(&png_of(8_001, 1)), Some(("image/png", false)));
        assert_eq!(sized(&png_of(0, 1)), Some(("image/png", false)));
        assert_eq!(sized(b"GIF89a\x10\x00\x10\x00"), Some(("image/gif", true)));
        assert_eq!(sized(b"GIF89a\xff\xff\x10\x00"), Some(("image/gif", false)));
        let jpeg = |width: [u8; 2]| {
            let app = [&b"\xff\xd8\xff\xe0\x00\x06abcd"[..], b"\xff\xff\xc4\x00\x03x"].concat();
            [&app[..], &[0xff, 0xc2, 0, 11, 8, 0x01, 0x00, width[0], width[1], 1]].concat()
        };
        assert_eq!(sized(&jpeg([2, 0])), Some(("image/jpeg", true)));
        assert_eq!(sized(&jpeg([0xff, 0])), Some(("image/jpeg", false)));
        assert_eq!(sized(b"\xff\xd8\xff\xda\x00\x02"), Some(("image/jpeg", false)));
        let webp = |chunk: &[u8]| [&b"RIFF\0\0\0\0WEBP"[..], chunk].concat();
        let extended = b"VP8X\x0a\0\0\0\0\0\0\0\x0f\0\0\x0f\0\0";
        assert_eq!(sized(&webp(extended)), Some(("image/webp", true)));
        assert_eq!(sized(&webp(b"VP8L\0\0\0\0\x2f\x0f\xc0\x03\0")), Some(("image/webp", true)));
        assert_eq!(sized(&webp(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\x10\0\x10\0")), Some(("image/webp", true)));
        assert_eq!(sized(&webp(b"VP8 \0\0\0\0\0\0\0\x9d\x01\x2a\0\0\x10\0")), Some(("image/webp", false)));
        for other in [&b"<svg/>"[..], b"", b"%PDF-1.7", b"RIFF\0\0\0\0WAVE"] {
            assert_eq!(sized(other), None);
        }
    }

    proptest! {
        #[test]
        fn no_bytes_are_too_odd_to_be_measured(
            kind in prop::sample::select(vec![ImageType::Png, ImageType::Jpeg, ImageType::Gif, ImageType::WebP]),
            bytes in prop::collection::vec(prop_oneof![Just(0xff_u8), any::<u8>()], 0..64),
            chunk in prop::sample::select(vec![*b"VP8X", *b"VP8L", *b"VP8 "]),
        ) {
            kind.is_within_bounds(&bytes);
            let webp = [&b"RIFF\0\0\0\0WEBP"[..], &chunk, &bytes].concat();
            ImageType::WebP.is_within_bounds(&webp);
            ImageType::Jpeg.is_within_bounds(&[&b"\xff\xd8"[..], &bytes].concat());
        }
    }
}
