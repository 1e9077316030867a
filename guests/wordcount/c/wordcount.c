// The tool `wordcount`; ../README.md says what it counts.
//
// What the host is handed, the bindings free after the call, so every string that is returned is
// a copy on the heap.

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool_plugin.h"

#define MAX_TOP 50
#define DEFAULT_TOP 10

static const char SETTINGS_SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{\"fold_case\":{\"type\":\"boolean\","
    "\"description\":\"Whether A to Z count as a to z; true by default.\"}},"
    "\"additionalProperties\":false}";

static const char INPUT_SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"text\":{\"type\":\"string\",\"maxLength\":20000,\"description\":\"The text to count.\"},"
    "\"top\":{\"type\":\"integer\",\"minimum\":0,\"maximum\":50,"
    "\"description\":\"How many of the most frequent words to name; 10 by default.\"}},"
    "\"required\":[\"text\"],\"additionalProperties\":false}";

static const char OUTPUT_SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{"
    "\"words\":{\"type\":\"integer\",\"minimum\":0},"
    "\"characters\":{\"type\":\"integer\",\"minimum\":0},"
    "\"lines\":{\"type\":\"integer\",\"minimum\":0},"
    "\"top\":{\"type\":\"array\",\"maxItems\":50,\"items\":{\"type\":\"object\",\"properties\":{"
    "\"word\":{\"type\":\"string\"},\"count\":{\"type\":\"integer\",\"minimum\":1}},"
    "\"required\":[\"word\",\"count\"],\"additionalProperties\":false}}},"
    "\"required\":[\"words\",\"characters\",\"lines\",\"top\"],\"additionalProperties\":false}";

static void *allocate(size_t count, size_t size) {
    void *memory = calloc(count, size);
    if (memory == NULL) abort();
    return memory;
}

// A word of the text, and how often it stands there.
typedef struct {
    const uint8_t *bytes;
    size_t len;
    size_t count;
} word;

static int by_bytes(const void *left, const void *right) {
    const word *a = left, *b = right;
    int order = memcmp(a->bytes, b->bytes, a->len < b->len ? a->len : b->len);
    return order != 0 ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_count(const void *left, const void *right) {
    const word *a = left, *b = right;
    return a->count != b->count ? (a->count < b->count ? 1 : -1) : by_bytes(left, right);
}

static bool is_upper(uint8_t byte) { return byte >= 'A' && byte <= 'Z'; }

static bool is_of_word(uint8_t byte) {
    return (byte >= '0' && byte <= '9') || (byte >= 'a' && byte <= 'z') || is_upper(byte);
}

// All words of a text as they stand there, each counted once; how many they are.
static size_t find_words(const json_text *text, word *words) {
    size_t found = 0;
    for (size_t at = 0; at < text->len;) {
        size_t from = at;
        while (at < text->len && is_of_word(text->bytes[at])) at++;
        if (at > from) words[found++] = (word){.bytes = text->bytes + from, .len = at - from, .count = 1};
        else at++;
    }
    return found;
}

// Sorts words, counts equals together, and sorts again by how often each stands; how many differ.
static size_t rank(word *words, size_t found) {
    if (found == 0) return 0;
    qsort(words, found, sizeof *words, by_bytes);
    size_t distinct = 1;
    for (size_t i = 1; i < found; i++) {
        if (by_bytes(&words[distinct - 1], &words[i]) == 0) words[distinct - 1].count++;
        else words[distinct++] = words[i];
    }
    qsort(words, distinct, sizeof *words, by_count);
    return distinct;
}

// Text that grows.
typedef struct {
    uint8_t *bytes;
    size_t len;
    size_t capacity;
} buffer;

static void put(buffer *to, const void *bytes, size_t len) {
    if (len == 0) return;
    if (to->capacity - to->len < len) {
        // Both are at most a few hundred kilobytes: what comes out is never longer than twice what came in.
        to->capacity = (to->len + len) * 2;
        to->bytes = realloc(to->bytes, to->capacity);
        if (to->bytes == NULL) abort();
    }
    memcpy(to->bytes + to->len, bytes, len);
    to->len += len;
}

static void put_text(buffer *to, const char *text) { put(to, text, strlen(text)); }

static void put_number(buffer *to, size_t number) {
    char digits[20]; // of 2^64
    size_t from = sizeof digits;
    do {
        digits[--from] = (char)('0' + number % 10);
        number /= 10;
    } while (number != 0);
    put(to, digits + from, sizeof digits - from);
}

static buffer count(json_text *text, uint32_t top, bool fold_case) {
    size_t characters = 0, lines = 0;
    for (size_t i = 0; i < text->len; i++) {
        uint8_t byte = text->bytes[i];
        if ((byte & 0xc0) != 0x80) characters++; // every byte of UTF-8 that begins a character
        if (byte == '\n') lines++;
        if (fold_case && is_upper(byte)) text->bytes[i] = (uint8_t)(byte - 'A' + 'a');
    }
    if (text->len > 0 && text->bytes[text->len - 1] != '\n') lines++;

    word *words = allocate(text->len / 2 + 1, sizeof *words);
    size_t found = find_words(text, words);
    size_t named = rank(words, found);
    if (named > top) named = top;

    buffer out = {0};
    put_text(&out, "{\"words\":");
    put_number(&out, found);
    put_text(&out, ",\"characters\":");
    put_number(&out, characters);
    put_text(&out, ",\"lines\":");
    put_number(&out, lines);
    put_text(&out, ",\"top\":[");
    for (size_t i = 0; i < named; i++) {
        put_text(&out, i == 0 ? "{\"word\":\"" : ",{\"word\":\"");
        put(&out, words[i].bytes, words[i].len); // letters and digits need no escape
        put_text(&out, "\",\"count\":");
        put_number(&out, words[i].count);
        put_text(&out, "}");
    }
    put_text(&out, "]}");
    free(words);
    return out;
}

static bool named(const json_text *name, const char *expected) {
    size_t len = strlen(expected);
    return name->len == len && (len == 0 || memcmp(name->bytes, expected, len) == 0);
}

// Reads `{"fold_case": ...}`; NULL or what is wrong.
static const char *read_settings(const tool_plugin_string_t *json, bool *fold_case) {
    json_reader reader = json_read(json->ptr, json->len);
    json_text name;
    json_object(&reader);
    for (bool first = true; json_member(&reader, &first, &name); free(name.bytes)) {
        if (named(&name, "fold_case")) json_boolean(&reader, fold_case);
        else json_fail(&reader, "there is one setting: `fold_case`");
    }
    json_end(&reader);
    return reader.error;
}

// Reads `{"text": ..., "top": ...}`; NULL or what is wrong. `text` is the caller's to free either way.
static const char *read_arguments(const tool_plugin_string_t *json, json_text *text, uint32_t *top) {
    json_reader reader = json_read(json->ptr, json->len);
    json_text name;
    bool has_text = false;
    json_object(&reader);
    for (bool first = true; json_member(&reader, &first, &name); free(name.bytes)) {
        if (named(&name, "text") && !has_text) has_text = json_string(&reader, text);
        else if (named(&name, "top")) json_whole(&reader, MAX_TOP, top);
        else json_fail(&reader, "there are two arguments: `text` and `top`");
    }
    json_end(&reader);
    if (!has_text) json_fail(&reader, "`text` is missing");
    return reader.error;
}

void exports_exoclaw_plugin_tool_describe(exports_exoclaw_plugin_tool_description_t *ret) {
    *ret = (exports_exoclaw_plugin_tool_description_t){0};
    tool_plugin_string_dup(&ret->settings_schema, SETTINGS_SCHEMA);
}

bool exports_exoclaw_plugin_tool_definitions(
    exports_exoclaw_plugin_tool_json_t *settings,
    exports_exoclaw_plugin_tool_list_definition_t *ret,
    exports_exoclaw_plugin_tool_error_t *err
) {
    (void)err; // the settings change nothing of what is told here
    exports_exoclaw_plugin_tool_json_free(settings);
    exports_exoclaw_plugin_tool_definition_t *definition = allocate(1, sizeof *definition);
    tool_plugin_string_dup(&definition->name, "wordcount");
    definition->title.is_some = true;
    tool_plugin_string_dup(&definition->title.val, "Count words");
    tool_plugin_string_dup(
        &definition->description,
        "Counts the words, characters and lines of a text and names its most frequent words. "
        "Use it whenever a count must be exact."
    );
    tool_plugin_string_dup(&definition->input_schema, INPUT_SCHEMA);
    definition->output_schema.is_some = true;
    tool_plugin_string_dup(&definition->output_schema.val, OUTPUT_SCHEMA);
    definition->hints = EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_READ_ONLY | EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_ADDITIVE |
                        EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_IDEMPOTENT | EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_CLOSED_WORLD;
    *ret = (exports_exoclaw_plugin_tool_list_definition_t){.ptr = definition, .len = 1};
    return true;
}

bool exports_exoclaw_plugin_tool_call(
    exports_exoclaw_plugin_tool_context_t *context,
    tool_plugin_string_t *name,
    exports_exoclaw_plugin_tool_json_t *arguments,
    exports_exoclaw_plugin_tool_list_content_t *ret,
    exports_exoclaw_plugin_tool_error_t *err
) {
    bool fold_case = true;
    uint32_t top = DEFAULT_TOP;
    json_text text = {0};
    const json_text called = {.bytes = name->ptr, .len = name->len};
    const char *error = named(&called, "wordcount") ? NULL : "there is one tool here: `wordcount`";
    if (error == NULL) error = read_settings(&context->settings, &fold_case);
    if (error == NULL) error = read_arguments(arguments, &text, &top);
    if (error == NULL) {
        buffer out = count(&text, top, fold_case);
        exports_exoclaw_plugin_tool_content_t *content = allocate(1, sizeof *content);
        content->tag = EXPORTS_EXOCLAW_PLUGIN_TOOL_CONTENT_JSON;
        content->val.json = (exports_exoclaw_plugin_tool_json_t){.ptr = out.bytes, .len = out.len};
        *ret = (exports_exoclaw_plugin_tool_list_content_t){.ptr = content, .len = 1};
    } else {
        err->tag = EXOCLAW_PLUGIN_TYPES_ERROR_INVALID_INPUT;
        tool_plugin_string_dup(&err->val.invalid_input, error);
    }
    free(text.bytes);
    exports_exoclaw_plugin_tool_context_free(context);
    tool_plugin_string_free(name);
    exports_exoclaw_plugin_tool_json_free(arguments);
    return error == NULL;
}
