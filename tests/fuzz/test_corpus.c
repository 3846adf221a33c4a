/*
 * Runs a fuzz target on each file of its corpus, whose folder is CORPUS: what fuzzing has come upon
 * once stays tested, without a fuzzer.
 */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <dirent.h>
#include <stdio.h>
#include <cmocka.h>

#include "support.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

static uint8_t buffer[65536];

static void run_file(const char *name)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/%s", CORPUS, name);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(buffer, 1, sizeof(buffer), file);
    fclose(file);
    assert_in_range(size, 1, sizeof(buffer) - 1);
    print_message("%s\n", path);
    LLVMFuzzerTestOneInput(exact_copy(buffer, (uint32_t)size, 0), size);
}

static void test_corpus(void **state)
{
    DIR *folder = opendir(CORPUS);
    uint32_t files = 0;

    (void)state;
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        if (entry->d_name[0] == '.')
            continue;
        run_file(entry->d_name);
        files++;
    }
    closedir(folder);
    assert_true(files > 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_corpus, parser_setup, parser_teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
