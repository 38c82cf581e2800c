# An RTSP server written by others (Perl's RTSP::Server), for the tests. It passes
# on what a source announces and sends to it, by UDP only.
#
# usage: perl perlserver.pl CLIENT-PORT SOURCE-PORT
use strict;
use warnings;
use AnyEvent;
use RTSP::Server;

my ($clients, $sources) = @ARGV;
my $server = RTSP::Server->new(
    client_listen_address => '127.0.0.1',
    client_listen_port    => $clients,
    source_listen_address => '127.0.0.1',
    source_listen_port    => $sources,
    log_level             => 1,
);
$server->listen;
AnyEvent->condvar->recv;
