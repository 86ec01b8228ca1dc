/*
 * A compiler that compiles nothing: for `objects.sh`, which wants to know which sources the kernel's own build compiles
 * under a configuration. A call that makes an object writes an empty one and the list of what it depends on; anything
 * else (questions about the compiler, preprocessing, assembly that headers are generated from) goes to the real one.
 *
 *     cc -O1 -o cc cc.c && REAL_CC=gcc EMPTY_O=empty.o ./cc ...
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int main(int argc, char **argv)
{
	const char *real = getenv("REAL_CC"), *empty = getenv("EMPTY_O");
	const char *out = NULL, *source = NULL, *depends = NULL;
	int compile = 0, real_one = 0;

	for (int i = 1; i < argc; i++) {
		const char *a = argv[i];
		size_t n = strlen(a);
		if (!strcmp(a, "-c"))
			compile = 1;
		else if (!strcmp(a, "-S") || !strcmp(a, "-E"))
			real_one = 1;
		else if (!strcmp(a, "-o") && i + 1 < argc)
			out = argv[++i];
		else if (!strncmp(a, "-Wp,-MMD,", 9))
			depends = a + 9;
		else if (a[0] != '-' && n > 2 && (!strcmp(a + n - 2, ".c") || !strcmp(a + n - 2, ".S")))
			source = a;
	}
	/* Only what the kernel's build keeps a list of dependencies for is a source of the kernel. */
	if (compile && !real_one && out && source && depends) {
		char buffer[4096];
		size_t n;
		FILE *from = fopen(empty, "rb"), *to = fopen(out, "wb"), *d = fopen(depends, "w");
		if (!from || !to || !d)
			return 1;
		while ((n = fread(buffer, 1, sizeof buffer, from)) > 0)
			fwrite(buffer, 1, n, to);
		fprintf(d, "%s: %s\n", out, source);
		return fclose(to) || fclose(d);
	}
	argv[0] = (char *)real;
	execvp(real, argv);
	return 127;
}
