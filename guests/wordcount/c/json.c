#include "json.h"

#include <stdlib.h>
#include <string.h>

json_reader json_read(const uint8_t *bytes, size_t len) {
    // An empty list may come with any pointer; it is never read.
    return (json_reader){.at = bytes, .end = len == 0 ? bytes : bytes + len, .error = NULL};
}

bool json_fail(json_reader *reader, const char *error) {
    if (reader->error == NULL) reader->error = error;
    return false;
}

// The byte that follows the white space, or 0 at the end (a NUL byte is no token either).
static uint8_t peek(json_reader *reader) {
    while (reader->at < reader->end) {
        uint8_t byte = *reader->at;
        if (byte != ' ' && byte != '\t' && byte != '\r' && byte != '\n') return byte;
        reader->at++;
    }
    return 0;
}

static bool take(json_reader *reader, uint8_t byte, const char *error) {
    if (reader->error != NULL) return false;
    if (peek(reader) != byte) return json_fail(reader, error);
    reader->at++;
    return true;
}

bool json_object(json_reader *reader) { return take(reader, '{', "an object was expected"); }

bool json_member(json_reader *reader, bool *first, json_text *name) {
    *name = (json_text){0};
    if (reader->error != NULL) return false;
    if (peek(reader) == '}') {
        reader->at++;
        return false;
    }
    if (!*first && !take(reader, ',', "a comma or the end of the object was expected")) return false;
    *first = false;
    if (!json_string(reader, name)) return false;
    if (take(reader, ':', "a colon was expected")) return true;
    free(name->bytes);
    *name = (json_text){0};
    return false;
}

// Four hexadecimal digits.
static bool hex4(json_reader *reader, uint32_t *out) {
    if (reader->end - reader->at < 4) return json_fail(reader, "an escape is cut short");
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        uint8_t byte = *reader->at++;
        uint32_t digit;
        if (byte >= '0' && byte <= '9') digit = byte - '0';
        else if (byte >= 'a' && byte <= 'f') digit = byte - 'a' + 10u;
        else if (byte >= 'A' && byte <= 'F') digit = byte - 'A' + 10u;
        else return json_fail(reader, "an escape has a digit that is not hexadecimal");
        value = value << 4 | digit;
    }
    *out = value;
    return true;
}

// The character of a `\u` escape: two of them where it lies beyond U+FFFF (RFC 8259, section 7).
static bool escaped_character(json_reader *reader, uint32_t *out) {
    uint32_t high, low;
    if (!hex4(reader, &high)) return false;
    if (high < 0xd800 || high > 0xdfff) {
        *out = high;
        return true;
    }
    bool pair = high <= 0xdbff && reader->end - reader->at >= 2 && reader->at[0] == '\\' && reader->at[1] == 'u';
    if (!pair) return json_fail(reader, "an escape is half a character");
    reader->at += 2;
    if (!hex4(reader, &low)) return false;
    if (low < 0xdc00 || low > 0xdfff) return json_fail(reader, "an escape is half a character");
    *out = 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00);
    return true;
}

// Writes a character as UTF-8; never more bytes than its escape had.
static uint8_t *encode(uint8_t *to, uint32_t character) {
    if (character < 0x80) {
        *to++ = (uint8_t)character;
    } else if (character < 0x800) {
        *to++ = (uint8_t)(0xc0 | character >> 6);
        *to++ = (uint8_t)(0x80 | (character & 0x3f));
    } else if (character < 0x10000) {
        *to++ = (uint8_t)(0xe0 | character >> 12);
        *to++ = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (character & 0x3f));
    } else {
        *to++ = (uint8_t)(0xf0 | character >> 18);
        *to++ = (uint8_t)(0x80 | (character >> 12 & 0x3f));
        *to++ = (uint8_t)(0x80 | (character >> 6 & 0x3f));
        *to++ = (uint8_t)(0x80 | (character & 0x3f));
    }
    return to;
}

// Decodes up to the closing quote, to `to`; returns where it stopped writing, or NULL.
static uint8_t *decode(json_reader *reader, uint8_t *to) {
    while (reader->at < reader->end) {
        uint8_t byte = *reader->at++;
        if (byte == '"') return to;
        if (byte < 0x20) {
            json_fail(reader, "a string has a control character that is not escaped");
            return NULL;
        }
        if (byte != '\\') {
            *to++ = byte;
            continue;
        }
        if (reader->at == reader->end) break;
        uint32_t character;
        switch (*reader->at++) {
        case '"': character = '"'; break;
        case '\\': character = '\\'; break;
        case '/': character = '/'; break;
        case 'b': character = '\b'; break;
        case 'f': character = '\f'; break;
        case 'n': character = '\n'; break;
        case 'r': character = '\r'; break;
        case 't': character = '\t'; break;
        case 'u':
            if (!escaped_character(reader, &character)) return NULL;
            break;
        default: json_fail(reader, "a string has an unknown escape"); return NULL;
        }
        to = encode(to, character);
    }
    json_fail(reader, "a string has no end");
    return NULL;
}

bool json_string(json_reader *reader, json_text *out) {
    *out = (json_text){0};
    if (!take(reader, '"', "a string was expected")) return false;
    // Decoded, a string is never longer than it was written.
    size_t most = (size_t)(reader->end - reader->at);
    if (most == 0) return json_fail(reader, "a string has no end");
    uint8_t *bytes = malloc(most);
    if (bytes == NULL) return json_fail(reader, "out of memory");
    uint8_t *end = decode(reader, bytes);
    if (end == NULL) {
        free(bytes);
        return false;
    }
    *out = (json_text){.bytes = bytes, .len = (size_t)(end - bytes)};
    return true;
}

static bool is_digit(const json_reader *reader) {
    return reader->at < reader->end && *reader->at >= '0' && *reader->at <= '9';
}

static size_t skip_digits(json_reader *reader) {
    const uint8_t *from = reader->at;
    while (is_digit(reader)) reader->at++;
    return (size_t)(reader->at - from);
}

// A power of ten of an exponent, with its sign; what is out of reach for any text that fits into
// memory stays there.
static bool exponent(json_reader *reader, int64_t *out) {
    bool negative = false;
    if (reader->at < reader->end && (*reader->at == '+' || *reader->at == '-')) negative = *reader->at++ == '-';
    if (!is_digit(reader)) return json_fail(reader, "an exponent has no digits");
    int64_t value = 0;
    for (; is_digit(reader); reader->at++) {
        if (value < INT64_C(1) << 40) value = value * 10 + (*reader->at - '0');
    }
    *out = negative ? -value : value;
    return true;
}

bool json_whole(json_reader *reader, uint32_t max, uint32_t *out) {
    static const char expected[] = "a whole number was expected";
    if (reader->error != NULL) return false;
    peek(reader);
    bool negative = reader->at < reader->end && *reader->at == '-';
    if (negative) reader->at++;

    // RFC 8259, section 6: no zeros in front, digits on both sides of a point.
    const uint8_t *digits = reader->at;
    size_t whole = skip_digits(reader);
    if (whole == 0 || (whole > 1 && *digits == '0')) return json_fail(reader, expected);
    if (reader->at < reader->end && *reader->at == '.') {
        reader->at++;
        if (skip_digits(reader) == 0) return json_fail(reader, "a number has no digit behind its point");
    }
    const uint8_t *digits_end = reader->at;
    int64_t power = 0;
    if (reader->at < reader->end && (*reader->at == 'e' || *reader->at == 'E')) {
        reader->at++;
        if (!exponent(reader, &power)) return false;
    }

    // The digits before `point` are the number, those after it must be zeros.
    int64_t point = (int64_t)whole + power;
    int64_t seen = 0;
    uint64_t value = 0; // at most max * 10 + 9
    for (const uint8_t *at = digits; at < digits_end; at++) {
        if (*at == '.') continue;
        if (seen >= point) {
            if (*at != '0') return json_fail(reader, expected);
        } else if (value <= max) {
            value = value * 10 + (uint64_t)(*at - '0');
        }
        seen++;
    }
    for (; seen < point && value != 0 && value <= max; seen++) value *= 10;
    if (value > max || (negative && value != 0)) return json_fail(reader, "a number is out of range");
    *out = (uint32_t)value;
    return true;
}

bool json_boolean(json_reader *reader, bool *out) {
    static const char *const words[] = {"false", "true"};
    if (reader->error != NULL) return false;
    peek(reader);
    for (int i = 0; i < 2; i++) {
        size_t len = strlen(words[i]);
        if ((size_t)(reader->end - reader->at) >= len && memcmp(reader->at, words[i], len) == 0) {
            reader->at += len;
            *out = i == 1;
            return true;
        }
    }
    return json_fail(reader, "true or false was expected");
}

bool json_end(json_reader *reader) {
    if (reader->error != NULL) return false;
    peek(reader);
    return reader->at == reader->end || json_fail(reader, "something follows the end of the text");
}
