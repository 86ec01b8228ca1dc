/* A network daemon that accepts connections and answers with a line: enough
 * code for a compiler to harden or not to harden. It stands in for every
 * program of the sample gateway. */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef NAME
#define NAME "daemon"
#endif
#ifndef PORT
#define PORT 0
#endif

static int answer(int client)
{
	char request[256], reply[512];
	ssize_t n = read(client, request, sizeof request - 1);
	if (n < 0)
		return -1;
	request[n] = 0;
	snprintf(reply, sizeof reply, "%s: %s\n", NAME, request);
	return write(client, reply, strlen(reply)) < 0 ? -1 : 0;
}

int main(int argc, char **argv)
{
	char buffer[64];
	int port = PORT;
	if (argc > 1 && strlen(argv[1]) < sizeof buffer) {
		strcpy(buffer, argv[1]);
		port = atoi(buffer);
	}
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(port) };
	int s = socket(AF_INET, SOCK_STREAM, 0);
	if (s < 0 || bind(s, (struct sockaddr *)&address, sizeof address) || listen(s, 4)) {
		perror(NAME);
		return 1;
	}
	for (;;) {
		int client = accept(s, NULL, NULL);
		if (client < 0)
			continue;
		answer(client);
		close(client);
	}
}
