/* A layer around a PKCS #11 module: C_DecryptInit does what a file says, everything else is passed on. */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct list {
    unsigned char major, minor;
    void *functions[68];
};

enum { DECRYPT_INIT = 33, GENERAL_ERROR = 5 };

static struct list copy;
static unsigned long (*decrypt_init)(unsigned long, void *, unsigned long);

static void told(char *word, size_t size) {
    FILE *file = fopen(CONTROL, "r");
    word[0] = 0;
    if (file) {
        if (!fgets(word, (int)size, file)) word[0] = 0;
        fclose(file);
    }
}

static unsigned long layer(unsigned long session, void *mechanism, unsigned long key) {
    char word[32];
    for (told(word, sizeof word); strncmp(word, "hang", 4) == 0; told(word, sizeof word)) usleep(20000);
    if (word[0]) return strtoul(word, NULL, 0);
    return decrypt_init(session, mechanism, key);
}

unsigned long C_GetFunctionList(struct list **list) {
    void *module = dlopen(REAL, RTLD_NOW);
    unsigned long (*real)(struct list **);
    struct list *found;
    if (!module || !(real = dlsym(module, "C_GetFunctionList")) || real(&found)) return GENERAL_ERROR;
    copy = *found;
    decrypt_init = copy.functions[DECRYPT_INIT];
    copy.functions[DECRYPT_INIT] = layer;
    *list = &copy;
    return 0;
}
