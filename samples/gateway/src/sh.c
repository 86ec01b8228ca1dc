/* A stand-in for a shell: reads lines and runs them with execvp, no more. */
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

int main(void)
{
	char line[256];
	while (fgets(line, sizeof line, stdin)) {
		char *words[16] = { 0 };
		int n = 0;
		for (char *w = strtok(line, " \n"); w && n < 15; w = strtok(NULL, " \n"))
			words[n++] = w;
		if (!n)
			continue;
		pid_t child = fork();
		if (child == 0) {
			execvp(words[0], words);
			perror(words[0]);
			_exit(127);
		}
		waitpid(child, NULL, 0);
	}
	return 0;
}
