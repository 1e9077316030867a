// Reads one JSON text from front to back, without building a tree of it.
//
// The text is UTF-8, as the component model has checked. After the first error every function
// returns false, and `error` says what was wrong; so a caller may read on and ask once at the end.

#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct {
    const uint8_t *at;
    const uint8_t *end;
    const char *error; // NULL as long as all is well
} json_reader;

// Bytes on the heap, to be freed by who asked for them.
typedef struct {
    uint8_t *bytes; // NULL where there are none
    size_t len;
} json_text;

json_reader json_read(const uint8_t *bytes, size_t len);

// Steps into an object.
bool json_object(json_reader *reader);

// Steps to the next member of the object and decodes its name; false at the object's end. `*first`
// is true before the first call.
bool json_member(json_reader *reader, bool *first, json_text *name);

// A string, decoded. On false, `*out` is empty.
bool json_string(json_reader *reader, json_text *out);

// A whole number from 0 to `max`, however it is written: 2, 2.0 and 0.2e1 are all integers to
// JSON Schema.
bool json_whole(json_reader *reader, uint32_t max, uint32_t *out);

// `true` or `false`.
bool json_boolean(json_reader *reader, bool *out);

// Nothing but white space follows, and nothing was wrong before.
bool json_end(json_reader *reader);

// Records an error of the caller's own, unless there is one already. Returns false.
bool json_fail(json_reader *reader, const char *error);

#endif
