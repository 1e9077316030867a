// The tool `{{tool}}`.
//
// What is returned is freed by the bindings after the call, so each string of it is on the heap.

#include <stdlib.h>
#include <string.h>

#include "json.h"
#include "tool_plugin.h"

// What the owner sets in the config file.
static const char SETTINGS_SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{\"greeting\":{\"type\":\"string\","
    "\"description\":\"What to say before the name; `Hello` by default.\"}},"
    "\"additionalProperties\":false}";

// What the model calls it with. The host checks every call against this.
static const char INPUT_SCHEMA[] =
    "{\"type\":\"object\",\"properties\":{\"name\":{\"type\":\"string\",\"maxLength\":200,"
    "\"description\":\"Whom to greet.\"}},\"required\":[\"name\"],\"additionalProperties\":false}";

// Reads an object of which one member counts, a string; NULL or what is wrong. `out` is the
// caller's to free, and stays as it is where the member is missing.
static const char *read_member(const tool_plugin_string_t *json, const char *wanted, json_text *out) {
    json_reader reader = json_read(json->ptr, json->len);
    json_text name;
    bool found = false;
    json_object(&reader);
    for (bool first = true; json_member(&reader, &first, &name); free(name.bytes)) {
        bool is_it = name.len == strlen(wanted) && memcmp(name.bytes, wanted, name.len) == 0;
        if (is_it && !found) found = json_string(&reader, out);
        else json_fail(&reader, "an object has a member that it should not have");
    }
    json_end(&reader);
    return reader.error;
}

static void trim(json_text *text) {
    size_t from = 0;
    while (text->len > 0 && text->bytes[text->len - 1] == ' ') text->len--;
    while (from < text->len && text->bytes[from] == ' ') from++;
    text->len -= from;
    if (text->len > 0) memmove(text->bytes, text->bytes + from, text->len);
}

// `GREETING, NAME!`
static tool_plugin_string_t greet(const json_text *greeting, const json_text *name) {
    const json_text parts[] = {
        greeting->bytes != NULL ? *greeting : (json_text){.bytes = (uint8_t *)"Hello", .len = 5},
        {.bytes = (uint8_t *)", ", .len = 2},
        *name,
        {.bytes = (uint8_t *)"!", .len = 1},
    };
    size_t count = sizeof parts / sizeof *parts;
    tool_plugin_string_t text = {0};
    for (size_t i = 0; i < count; i++) text.len += parts[i].len;
    text.ptr = malloc(text.len);
    if (text.ptr == NULL) abort();
    uint8_t *at = text.ptr;
    for (size_t i = 0; i < count; i++) {
        if (parts[i].len > 0) memcpy(at, parts[i].bytes, parts[i].len);
        at += parts[i].len;
    }
    return text;
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
    exports_exoclaw_plugin_tool_definition_t *definition = calloc(1, sizeof *definition);
    if (definition == NULL) abort();
    tool_plugin_string_dup(&definition->name, "{{tool}}");
    definition->title.is_some = true;
    tool_plugin_string_dup(&definition->title.val, "Greet");
    tool_plugin_string_dup(
        &definition->description, "Greets somebody by name. Use it whenever a greeting is asked for."
    );
    tool_plugin_string_dup(&definition->input_schema, INPUT_SCHEMA);
    // What is promised here and kept may run beside other calls, and again after a crash.
    definition->hints = EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_READ_ONLY | EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_IDEMPOTENT |
                        EXPORTS_EXOCLAW_PLUGIN_TOOL_HINTS_CLOSED_WORLD;
    *ret = (exports_exoclaw_plugin_tool_list_definition_t){.ptr = definition, .len = 1};
    return true;
}

bool exports_exoclaw_plugin_tool_call(
    exports_exoclaw_plugin_tool_context_t *context,
    tool_plugin_string_t *called,
    exports_exoclaw_plugin_tool_json_t *arguments,
    exports_exoclaw_plugin_tool_list_content_t *ret,
    exports_exoclaw_plugin_tool_error_t *err
) {
    json_text greeting = {0}, name = {0};
    // One tool, so the host calls no other by its name.
    const char *error = read_member(&context->settings, "greeting", &greeting);
    if (error == NULL) error = read_member(arguments, "name", &name);
    trim(&name);
    // The model reads this: say what would be right.
    if (error == NULL && name.len == 0) error = "`name` is empty; give the name of whom to greet";
    if (error == NULL) {
        exports_exoclaw_plugin_tool_content_t *content = calloc(1, sizeof *content);
        if (content == NULL) abort();
        // Or ..._CONTENT_JSON, with an output_schema.
        content->tag = EXPORTS_EXOCLAW_PLUGIN_TOOL_CONTENT_TEXT;
        content->val.text = greet(&greeting, &name);
        *ret = (exports_exoclaw_plugin_tool_list_content_t){.ptr = content, .len = 1};
    } else {
        err->tag = EXOCLAW_PLUGIN_TYPES_ERROR_INVALID_INPUT;
        tool_plugin_string_dup(&err->val.invalid_input, error);
    }
    free(greeting.bytes);
    free(name.bytes);
    exports_exoclaw_plugin_tool_context_free(context);
    tool_plugin_string_free(called);
    exports_exoclaw_plugin_tool_json_free(arguments);
    return error == NULL;
}
