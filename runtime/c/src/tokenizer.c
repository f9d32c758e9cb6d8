/*
 * Text to ids and back, by byte-level BPE or from texts encoded beforehand.
 *
 * Written here because it is small: a split by one regular expression (PCRE2 knows Unicode's letters
 * and numbers), bytes spelled as characters, merges by rank. Other kinds of tokenizer are refused:
 * `carve-export prompt` encodes their questions beforehand.
 */
#include "tokenizer.h"

#include <stdlib.h>
#include <string.h>

/* Merging a word takes the square of its length; questions are shorter by far. */
enum { LONGEST_TEXT = 1 << 14 };

unsigned byte_character(unsigned byte) {
    unsigned hidden = 0;
    for (unsigned b = 0; b <= byte; b++) {
        bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
        if (b == byte) return printable ? b : 256 + hidden;
        hidden += !printable;
    }
    return 0;
}

void spell_character(unsigned character, char utf8[3]) {
    if (character < 0x80) {
        utf8[0] = (char)character;
        utf8[1] = 0;
    } else {
        utf8[0] = (char)(0xc0 | character >> 6);
        utf8[1] = (char)(0x80 | (character & 0x3f));
        utf8[2] = 0;
    }
}

int by_name(const void *a, const void *b) {
    return strcmp(((const named_id *)a)->name, ((const named_id *)b)->name);
}

int by_pair(const void *a, const void *b) {
    const merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

int64_t id_of(const tokenizer *t, const char *name) {
    named_id key = {name, 0};
    const named_id *entry = bsearch(&key, t->names, t->name_count, sizeof key, by_name);
    return entry ? entry->id : -1;
}

/* ---- text to ids ---- */

/* Merge a word's ids in place, lowest rank first, leftmost first; return how many are left. */
static size_t merge_word(const tokenizer *t, int64_t *ids, size_t count) {
    while (count > 1) {
        const merge *best = NULL;
        size_t at = 0;
        for (size_t i = 0; i + 1 < count; i++) {
            merge pair = {ids[i], ids[i + 1], 0, 0};
            const merge *known =
                bsearch(&pair, t->merges, t->merge_count, sizeof pair, by_pair);
            if (known && (!best || known->rank < best->rank)) {
                best = known;
                at = i;
            }
        }
        if (!best) break;
        ids[at] = best->result;
        memmove(ids + at + 1, ids + at + 2, (count - at - 2) * sizeof *ids);
        count--;
    }
    return count;
}

static int64_t whole_word(const tokenizer *t, const char *word, size_t size) {
    char spelled[2 * 256 + 1];
    size_t length = 0;
    if (size > 256) return -1;
    for (size_t i = 0; i < size; i++) {
        spell_character(byte_character((unsigned char)word[i]), spelled + length);
        length += strlen(spelled + length);
    }
    return id_of(t, spelled);
}

static size_t encode_word(const tokenizer *t, const char *word, size_t size, int64_t *ids) {
    if (t->whole_words) {
        int64_t id = whole_word(t, word, size);
        if (id >= 0) {
            ids[0] = id;
            return 1;
        }
    }
    size_t count = 0;
    for (size_t i = 0; i < size; i++) {
        int64_t id = t->byte_ids[(unsigned char)word[i]];
        if (id >= 0) ids[count++] = id; /* a byte without a token is dropped, as in tokenizers */
    }
    return merge_word(t, ids, count);
}

/* Encode the words of a text; ids has room for one id per byte. */
static carve_status encode_words(const tokenizer *t, pcre2_match_data *match, const char *text,
                                 size_t size, int64_t *ids, size_t *count) {
    const PCRE2_SIZE *range = pcre2_get_ovector_pointer(match);
    uint32_t options = 0; /* the first match checks the whole text's UTF-8 */
    for (size_t at = 0; at < size; at = range[1]) {
        int matched = pcre2_match(t->splitter, (PCRE2_SPTR)text, size, at, options, match, NULL);
        if (matched < PCRE2_ERROR_NOMATCH && matched >= PCRE2_ERROR_UTF8_ERR21) {
            return failure(CARVE_PROMPT_ERROR, "The question is not valid UTF-8. Pass UTF-8 text.");
        }
        if (matched < 0 || range[1] <= at) {
            return failure(CARVE_PROMPT_ERROR, "The question cannot be split into words (PCRE2 "
                                               "error %d). Rephrase it.",
                           matched);
        }
        options = PCRE2_NO_UTF_CHECK;
        *count += encode_word(t, text + range[0], range[1] - range[0], ids + *count);
    }
    return carve_ok;
}

static carve_status encoded_beforehand(scope *owner, const tokenizer *t, const char *text,
                                       int64_t **ids, size_t *count) {
    const cJSON *entry;
    cJSON_ArrayForEach(entry, t->texts) {
        const char *known;
        const int64_t *encoded;
        TRY(json_text(entry, "text", &known));
        if (strcmp(known, text) != 0) continue;
        TRY(json_ints(owner, entry, "ids", 0, MOST_TOKENS, &encoded, count));
        *ids = (int64_t *)encoded;
        break;
    }
    return carve_ok;
}

carve_status tokenizer_encode(scope *owner, const tokenizer *t, const char *text, int64_t **ids,
                              size_t *count) {
    size_t size = strlen(text);
    *ids = NULL;
    *count = 0;
    TRY(encoded_beforehand(owner, t, text, ids, count));
    if (*ids) return carve_ok;
    if (t->refusal) {
        return failure(CARVE_UNSUPPORTED,
                       "This library cannot encode text for this tokenizer: %s. Encode the "
                       "question beforehand with carve-export prompt.",
                       t->refusal);
    }
    if (size > LONGEST_TEXT) {
        return failure(CARVE_PROMPT_ERROR, "The question has more than %d bytes. Shorten it.",
                       LONGEST_TEXT);
    }
    *ids = scope_alloc(owner, size, sizeof **ids);
    pcre2_match_data *match = pcre2_match_data_create_from_pattern(t->splitter, NULL);
    if (!*ids || !match) {
        pcre2_match_data_free(match);
        return no_memory();
    }
    carve_status status = encode_words(t, match, text, size, *ids, count);
    pcre2_match_data_free(match);
    TRY(status);
    for (size_t i = 0; i < *count; i++) {
        if (t->special[(*ids)[i]]) {
            return failure(CARVE_PROMPT_ERROR,
                           "The text contains '%.50s', which this tokenizer can only read as "
                           "control. Rephrase the question without it.",
                           t->spelling[(*ids)[i]]);
        }
    }
    return carve_ok;
}

/* ---- ids to text ---- */

/* Length of the UTF-8 character at text, or minus the bytes that one U+FFFD stands for. */
static int character_length(const unsigned char *text, size_t size) {
    unsigned first = text[0];
    if (first < 0x80) return 1;
    int length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    unsigned low = 0x80, high = 0xbf;
    if (first < 0xc2 || first > 0xf4) return -1;
    if (first == 0xe0) low = 0xa0;
    if (first == 0xed) high = 0x9f;
    if (first == 0xf0) low = 0x90;
    if (first == 0xf4) high = 0x8f;
    for (int i = 1; i < length; i++) {
        if ((size_t)i >= size || text[i] < low || text[i] > high) return -i;
        low = 0x80;
        high = 0xbf;
    }
    return length;
}

/* Append a token's bytes; a token that is not spelled in byte characters stands for itself. */
static size_t append_token(const char *token, unsigned char *bytes) {
    const unsigned char *s = (const unsigned char *)token;
    size_t count = 0;
    while (*s) {
        unsigned character = *s++;
        if (character >= 0xc0 && character < 0xe0 && *s) {
            character = (character & 0x1f) << 6 | (*s++ & 0x3f);
        }
        unsigned byte = 0;
        while (byte < 256 && byte_character(byte) != character) byte++;
        if (byte == 256) {
            memcpy(bytes, token, strlen(token));
            return strlen(token);
        }
        bytes[count++] = (unsigned char)byte;
    }
    return count;
}

static bool is_space(char c) { return c && strchr(WHITE_SPACE, c); }

carve_status tokenizer_decode(scope *owner, const tokenizer *t, const int64_t *ids, size_t count,
                              const char **text) {
    static const char replacement[] = "\xef\xbf\xbd";
    size_t most = 0, size = 0, length = 0;
    *text = NULL;
    if (!t->decodes) return carve_ok;
    for (size_t i = 0; i < count; i++) {
        bool known = (size_t)ids[i] < t->id_count && t->spelling[ids[i]];
        most += known ? strlen(t->spelling[ids[i]]) : 0;
    }
    unsigned char *bytes = scope_alloc(owner, most, 1);
    char *answer = scope_alloc(owner, 3 * most + 1, 1);
    if (!bytes || !answer) return no_memory();
    for (size_t i = 0; i < count; i++) {
        bool known = (size_t)ids[i] < t->id_count && t->spelling[ids[i]];
        if (known && !t->special[ids[i]]) size += append_token(t->spelling[ids[i]], bytes + size);
    }
    for (size_t at = 0; at < size;) {
        int step = character_length(bytes + at, size - at);
        const void *source = step > 0 ? (const void *)(bytes + at) : replacement;
        size_t copied = step > 0 ? (size_t)step : sizeof replacement - 1;
        memcpy(answer + length, source, copied);
        length += copied;
        at += (size_t)(step > 0 ? step : -step);
    }
    while (length && is_space(answer[length - 1])) length--;
    answer[length] = 0;
    while (is_space(*answer)) answer++;
    *text = answer;
    return carve_ok;
}
