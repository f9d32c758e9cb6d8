/* Byte-pair encoding: characters to tokens, which merges join. */
#include "text/bpe.h"

#include <stdlib.h>
#include <string.h>

#include "text/utf8.h"

int by_pair(const void *a, const void *b) {
    const merge *x = a, *y = b;
    if (x->left != y->left) return x->left < y->left ? -1 : 1;
    return x->right < y->right ? -1 : x->right > y->right;
}

static int by_name(const void *key, const void *entry) {
    const piece *wanted = key;
    const char *name = ((const named_id *)entry)->name;
    int order = strncmp(wanted->text, name, wanted->size);
    return order ? order : -(name[wanted->size] != 0);
}

int64_t bpe_id(const bpe *model, const char *name, size_t size) {
    const piece key = {name, size, NO_ID};
    const named_id *entry =
        bsearch(&key, model->names, model->name_count, sizeof *entry, by_name);
    return entry ? entry->id : NO_ID;
}

/* ---- characters ---- */

/* Append the tokens of a character's bytes, unless one is missing. */
static bool fall_back(const bpe *model, const char *text, size_t size, int64_t *ids,
                      size_t *count) {
    for (size_t i = 0; i < size; i++) {
        if (model->byte_ids[(unsigned char)text[i]] == NO_ID) return false;
    }
    for (size_t i = 0; i < size; i++) ids[(*count)++] = model->byte_ids[(unsigned char)text[i]];
    return true;
}

/* Append the tokens of a word's characters. As in tokenizers, an unknown one waits for the next. */
static void append_characters(const bpe *model, piece word, int64_t *ids, size_t *count) {
    bool waits = false;
    for (size_t at = 0, size; at < word.size; at += size) {
        int length = utf8_length(word.text + at, word.size - at);
        size = length > 0 ? (size_t)length : 1;
        int64_t id = bpe_id(model, word.text + at, size);
        if (id != NO_ID) {
            if (waits) ids[(*count)++] = model->unknown;
            waits = false;
            ids[(*count)++] = id;
        } else if (!model->falls_back || !fall_back(model, word.text + at, size, ids, count)) {
            if (waits && !model->joins_unknown) ids[(*count)++] = model->unknown;
            waits = model->unknown != NO_ID;
        }
    }
    if (waits) ids[(*count)++] = model->unknown;
}

/* ---- merges ---- */

/* A token of a word and its neighbours. */
typedef struct link {
    int64_t id; /* NO_ID: it was merged into another */
    size_t before, after; /* the word's end if there is none */
} link;

/* A pair that can be merged, unless another merge has taken one of the two. */
typedef struct candidate {
    const merge *rule;
    size_t at;
} candidate;

/* A binary heap: lowest rank first, leftmost first. */
typedef struct heap {
    candidate *items;
    size_t count;
} heap;

static bool is_before(const candidate *a, const candidate *b) {
    return a->rule->rank != b->rule->rank ? a->rule->rank < b->rule->rank : a->at < b->at;
}

static void heap_push(heap *h, candidate added) {
    size_t at = h->count++;
    for (; at && is_before(&added, &h->items[(at - 1) / 2]); at = (at - 1) / 2) {
        h->items[at] = h->items[(at - 1) / 2];
    }
    h->items[at] = added;
}

static candidate heap_pop(heap *h) {
    const candidate first = h->items[0], last = h->items[--h->count];
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < h->count; at = child) {
        child += child + 1 < h->count && is_before(&h->items[child + 1], &h->items[child]);
        if (!is_before(&h->items[child], &last)) break;
        h->items[at] = h->items[child];
    }
    h->items[at] = last;
    return first;
}

/* Push the pair that begins at a link, if the model merges it. */
static void consider(const bpe *model, heap *h, const link *links, size_t end, size_t at) {
    if (at == end || links[at].after == end) return;
    const merge key = {links[at].id, links[links[at].after].id, 0, 0};
    const merge *rule = bsearch(&key, model->merges, model->merge_count, sizeof key, by_pair);
    if (rule) heap_push(h, (candidate){rule, at});
}

/* Merge a word's ids in place, lowest rank first, leftmost first, and count what is left. */
static carve_status merge_word(scope *memory, const bpe *model, int64_t *ids, size_t *count) {
    const size_t end = *count;
    link *links = scope_alloc(memory, end, sizeof *links);
    /* Each pair of the word, and two more for each merge. */
    heap h = {scope_alloc(memory, 3 * end, sizeof *h.items), 0};
    if (!links || !h.items) return no_memory();
    for (size_t i = 0; i < end; i++) links[i] = (link){ids[i], i ? i - 1 : end, i + 1};
    for (size_t i = 0; i < end; i++) consider(model, &h, links, end, i);
    while (h.count) {
        const candidate best = heap_pop(&h);
        link *left = &links[best.at];
        if (left->id != best.rule->left || left->after == end ||
            links[left->after].id != best.rule->right) {
            continue;
        }
        links[left->after].id = NO_ID;
        left->id = best.rule->result;
        left->after = links[left->after].after;
        if (left->after != end) links[left->after].before = best.at;
        consider(model, &h, links, end, left->before);
        consider(model, &h, links, end, best.at);
    }
    *count = 0;
    for (size_t i = 0; i < end; i = links[i].after) ids[(*count)++] = links[i].id;
    return carve_ok;
}

carve_status bpe_encode(scope *memory, const bpe *model, piece word, int64_t *ids, size_t *count) {
    int64_t whole = model->whole_words ? bpe_id(model, word.text, word.size) : NO_ID;
    size_t added = 0;
    if (whole != NO_ID) {
        ids[(*count)++] = whole;
        return carve_ok;
    }
    append_characters(model, word, ids + *count, &added);
    if (added > 1) TRY(merge_word(memory, model, ids + *count, &added));
    *count += added;
    return carve_ok;
}
